"""Point Mastra Studio at a server of ours, in headless Chromium, and keep screenshots.

    python scripts/studio_check.py --out studio-screenshots

Needs Node 22.13 or newer or npm to fetch it, npm, and Chromium. The packages are fetched into a
folder of their own (`--packages`), and nothing of them is part of the project.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mastra import Mastra  # noqa: E402 - found through the path above
from mastra.evals import Dataset, Experiment, create_scorer  # noqa: E402
from mastra.memory import Memory  # noqa: E402
from mastra.server import CorsConfig, ServerConfig  # noqa: E402
from tests.server.live import running  # noqa: E402 - found through the path above
from tests.server.wire_app import answer, build  # noqa: E402

PACKAGES = ["mastra@1.31.0", "playwright-core@1", "node@22"]


def speaking(request: Any) -> Any:
    """Answer as the tests' model does, text at the pace of a real one."""
    said = answer(request)
    return _slowly(said) if all(isinstance(piece, str) for piece in said) else said


async def _slowly(pieces: Any) -> Any:
    for piece in pieces:
        await asyncio.sleep(0.2)
        yield piece


async def evaluated(mastra: Mastra) -> Mastra:
    """Give an application a scorer, a dataset, and an experiment with its scores."""
    scorer = create_scorer(id="short-answer", description="Whether the answer is short.")
    scorer = scorer.generate_score(lambda ctx: len(ctx.run.output[-1]["content"]["content"]) < 100)
    mastra.add_scorer(scorer.generate_reason(lambda _: "It has fewer than 100 letters."))
    items = [{"input": f"question {at}", "ground_truth": f"answer {at}"} for at in range(3)]
    dataset = await Dataset("Check questions", items, id="check-questions").save(mastra)
    await Experiment(
        "Check experiment",
        dataset=dataset,
        target=mastra.get_agent("planningAgent"),
        scorers=["short-answer"],
        mastra=mastra,
    ).run("check-experiment")
    return mastra


def install(folder: Path) -> None:
    """Fetch the npm packages, once."""
    if (folder / "node_modules" / "mastra").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", *PACKAGES]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - a fixed command


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def reachable(port: int) -> None:
    """Wait until somebody listens on a port of loopback."""
    for _ in range(1200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError(f"nobody listens on port {port}")


async def check(out: Path, packages: Path, browser: str) -> list[dict[str, Any]]:
    """Run the check and return what was seen."""
    node = packages / "node_modules" / "node" / "bin" / "node"
    port = free_port()
    mastra = await evaluated(build(memory=Memory(), answering=speaking))
    pages = CorsConfig(origins=[f"http://127.0.0.1:{port}"], credentials=True)
    async with running(mastra, ServerConfig(cors=pages)) as (url, _):
        environment = {
            **os.environ,
            "MASTRA_TELEMETRY_DISABLED": "1",
            "MASTRA_AGENT_SIGNALS": "false",
        }
        studio = await asyncio.create_subprocess_exec(
            node,
            packages / "node_modules" / "mastra" / "dist" / "index.js",
            "studio",
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-s",
            url.rpartition(":")[2],
            env=environment,
            cwd=packages,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await reachable(port)
            driver = await asyncio.create_subprocess_exec(
                node,
                ROOT / "scripts" / "studio_check.mjs",
                f"http://127.0.0.1:{port}",
                url,
                out,
                browser,
                packages,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = await driver.communicate()
        finally:
            studio.terminate()
            await studio.wait()
    facts = [json.loads(line) for line in output.decode().splitlines()]
    if driver.returncode:
        facts.append({"name": "the browser's script", "value": errors.decode()})
    return facts


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("studio-screenshots"))
    parser.add_argument("--packages", type=Path, default=ROOT / "build" / "studio")
    parser.add_argument("--browser", default=shutil.which("chromium") or "/usr/bin/chromium")
    options = parser.parse_args()
    install(options.packages)
    options.out.mkdir(parents=True, exist_ok=True)
    facts = asyncio.run(check(options.out.resolve(), options.packages.resolve(), options.browser))
    failed = [fact for fact in facts if fact["value"] not in (True, [])]
    for fact in facts:
        print(
            "ok  " if fact not in failed else "FAIL",
            fact["name"],
            "" if fact not in failed else fact["value"],
        )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
