"""Point Mastra Studio at a server of ours, in headless Chromium, and keep screenshots.

    python scripts/studio_check.py --out studio-screenshots

What the pages show of runs, traces, threads, experiments and scores is compared with what the storage has.
`--lie` puts a server in between that tells something else, to see that the check finds it.

Needs Node 22.13 or newer or npm to fetch it, npm, and Chromium. The packages are fetched into a
folder of their own (`scripts/studio`), and nothing of them is part of the project.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from mastra import Mastra  # noqa: E402 - found through the path above
from mastra.evals import Dataset, Experiment, create_scorer  # noqa: E402
from mastra.memory import Memory  # noqa: E402
from mastra.server import CorsConfig, ServerConfig  # noqa: E402
from mastra.storage.evals import EvalFilter  # noqa: E402
from tests.server.live import running  # noqa: E402 - found through the path above
from tests.server.wire_app import answer, build  # noqa: E402
from tests.support.npm import install, node_of  # noqa: E402

PACKAGES = ROOT / "scripts" / "studio"


HALF_SAID = "it is not done yet"
"""The fact that is looked at while an answer is only begun."""


class Speaker:
    """Answers as the tests' model does, text at the pace of a real one."""

    def __init__(self) -> None:
        self.looked_at = asyncio.Event()
        """Whether the page has been looked at while the answer that is watched was only begun."""

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        said = answer(request)
        if not all(isinstance(piece, str) for piece in said):
            return said
        asked = next(one for one in reversed(request.messages) if one.role == "user")
        return self._slowly(said, is_watched="hello from the check" in asked.text)

    async def _slowly(self, pieces: Any, *, is_watched: bool) -> Any:
        for place, piece in enumerate(pieces):
            await asyncio.sleep(0.5)
            if is_watched and place:
                await self.looked_at.wait()  # however slow the machine is
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


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def reachable(port: int, server: asyncio.subprocess.Process) -> None:
    """Wait until a program listens on a port of loopback."""
    for _ in range(1200):
        if server.returncode is not None:
            raise RuntimeError(f"Studio ended: {(await server.stdout.read()).decode()[-2000:]}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError(f"nobody listens on port {port}")


PARTS = ("workflows", "agents", "evals", "pages")
LIES = {
    "state": ("/api/workflows/", b'"status":"success"', b'"status":"failed" '),
    "step": ("/api/workflows/", b'"plan-indoor-activities"', b'"plan-activities"       '),
    "span": ("/api/observability/traces/", b"step: 'prepare'", b"step: 'nothing'"),
    "score": ("/api/scores/", b'"score":1.0', b'"score":0.5'),
    "result": ("/api/datasets/", b'"input":"question 1"', b'"input":"question 9"'),
    "review": ("/api/experiments/", b'"needsReview":1', b'"needsReview":3'),
    "thread": ("/api/memory/threads/", b"hello from the check", b"hullo from the check"),
}
"""Of which paths the answers are changed, and how: to text of the same length."""


class Liar:
    """Changes what a server says on its way to the page."""

    def __init__(self, app: Any, lie: str) -> None:
        self._app = app
        self._path, self._true, self._false = LIES[lie]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""

        async def told(message: Any) -> None:
            if message["type"] == "http.response.body":
                changed = message.get("body", b"").replace(self._true, self._false)
                message = {**message, "body": changed}
            await send(message)

        is_changed = scope["type"] == "http" and scope["path"].startswith(self._path)
        await self._app(scope, receive, told if is_changed else send)


async def judged(mastra: Mastra, fact: dict[str, Any]) -> dict[str, Any]:
    """Return a fact with its value, from what a page shows and what is stored."""
    seen = fact.get("seen")
    if seen is None:
        return fact
    if "spans" in seen:
        differs = await _of_trace(mastra, seen)
    elif "scores" in seen:
        differs = await _of_scores(mastra, seen)
    elif "results" in seen:
        differs = await _of_results(mastra, seen)
    elif "experiments" in seen:
        differs = await _of_experiments(mastra, seen)
    elif "said" in seen:
        differs = await _of_thread(mastra, seen)
    elif "listed" in seen:
        stored = await mastra.get_workflow(seen["workflow"]).list_runs()
        ids = [run.run_id for run in stored.runs]
        differs = {} if set(ids) <= set(seen["listed"]) else {"stored": ids, **seen}
    else:
        differs = await _of_run(mastra, seen)
    return {"name": fact["name"], "value": differs or True}


async def _of_run(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    info = None
    if seen["run"] is not None:
        info = await mastra.get_workflow(seen["workflow"]).get_run(seen["run"])
    if info is None:
        return {"no such run": seen}
    wrong = (
        {} if info.status.capitalize() in seen["states"] else {"run": [info.status, seen["states"]]}
    )
    shown = {key: status for key, status, _ in seen["steps"] if key in info.steps or status}
    stored = {key: step.status for key, step in info.steps.items()}
    if not stored or {key: shown.get(key) for key in stored} != stored:
        wrong["steps"] = [stored, seen["steps"]]
    others = {key: status for key, status in shown.items() if key not in stored}
    if others and any(status not in (None, "idle", "pending") for status in others.values()):
        wrong["not run"] = others
    return wrong


async def _of_trace(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    kept = mastra.storage.observability
    roots = (await kept.list_traces(limit=100)).roots
    found = [root.trace_id for root in roots if root.trace_id.startswith(seen["trace"] or "?")]
    names = [span.name for span in await kept.get_spans(found)]
    return {} if names and names == seen["spans"] else {"stored": names, **seen}


async def _of_scores(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    page = await mastra.storage.evals.list("score", EvalFilter(parent_id=seen["scorer"]))
    stored = {f"{one.data['score']:g} {one.data['input']}" for one in page.records}
    return {} if stored and set(seen["scores"]) == stored else {"stored": [*stored], **seen}


async def _of_results(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    where = EvalFilter(parent_id=seen["experiment"])
    page = await mastra.storage.evals.list("experiment_result", where)
    stored: set[str] = set()
    for one in page.records:
        data: Any = one.data
        status = {"needs-review": "Needs review"}.get(data.get("status"), "-")
        score = data["scores"]["short-answer"]["score"]
        stored.add(f"{str(one.subject)[:8]} {status} {data['input']} {score:.3f}")
    return {} if stored and set(seen["results"]) == stored else {"stored": [*stored], **seen}


async def _of_experiments(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    page = await mastra.storage.evals.list("experiment")
    reviews = await mastra.storage.evals.count_statuses("experiment_result")
    stored = {
        " ".join(
            [
                str(one.data["name"]),
                str(one.data["targetId"]),
                str(one.data["status"]),
                str(one.data["totalItems"]),
                str(reviews.get((one.id, "needs-review"), "-")),
            ]
        )
        for one in page.records
    }
    return {} if stored and set(seen["experiments"]) == stored else {"stored": [*stored], **seen}


async def _of_thread(mastra: Mastra, seen: dict[str, Any]) -> dict[str, Any]:
    page = await mastra.storage.memory.list_messages(thread_id=seen["thread"])
    stored = [
        str(part["text"]).strip()
        for message in page.messages
        for part in message.content["parts"]
        if part["type"] == "text"
    ]
    shown = " ".join(seen["said"].split())
    missing = [text for text in stored if " ".join(text.split()) not in shown]
    return {} if stored and not missing else {"stored": stored, "missing": missing, **seen}


async def _followed(driver: Any, mastra: Mastra, speaker: Speaker) -> list[dict[str, Any]]:
    """Return what the browser's script tells; it waits where what it shows is to be compared."""
    facts: list[dict[str, Any]] = []
    async for line in driver.stdout:
        fact = json.loads(line)
        facts.append(await judged(mastra, fact))
        if fact["name"] == HALF_SAID:
            speaker.looked_at.set()
        if "seen" in fact:
            driver.stdin.write(b"\n")
            await driver.stdin.drain()
    return facts


async def check(
    out: Path,
    browser: str,
    *,
    parts: Sequence[str] = PARTS,
    lie: str | None = None,
) -> list[dict[str, Any]]:
    """Run the check and return what was seen."""
    node = node_of(PACKAGES)
    port = free_port()
    speaker = Speaker()
    mastra = await evaluated(build(memory=Memory(), answering=speaker))
    pages = CorsConfig(origins=[f"http://127.0.0.1:{port}"], credentials=True)
    between = [Middleware(Liar, lie=lie)] if lie else []
    async with running(mastra, ServerConfig(cors=pages, middleware=between)) as (url, _):
        environment = {
            **os.environ,
            "MASTRA_TELEMETRY_DISABLED": "1",
            "MASTRA_AGENT_SIGNALS": "false",
        }
        studio = await asyncio.create_subprocess_exec(
            node,
            PACKAGES / "node_modules" / "mastra" / "dist" / "index.js",
            "studio",
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-s",
            url.rpartition(":")[2],
            env=environment,
            cwd=PACKAGES,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await reachable(port, studio)
            driver = await asyncio.create_subprocess_exec(
                node,
                ROOT / "scripts" / "studio_check.mjs",
                f"http://127.0.0.1:{port}",
                url,
                out,
                browser,
                PACKAGES,
                ",".join(parts),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            facts = await _followed(driver, mastra, speaker)
            errors = await driver.stderr.read()
            await driver.wait()
        finally:
            speaker.looked_at.set()
            studio.terminate()
            await studio.wait()
    if driver.returncode:
        facts.append({"name": "the browser's script", "value": errors.decode()})
    return facts


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("studio-screenshots"))
    parser.add_argument("--browser", default=shutil.which("chromium") or "/usr/bin/chromium")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be repeated")
    parser.add_argument("--lie", choices=LIES, help="have the server tell something else")
    options = parser.parse_args()
    try:
        asyncio.run(install(PACKAGES))
    except pytest.skip.Exception as missing:
        raise SystemExit(str(missing)) from None
    options.out.mkdir(parents=True, exist_ok=True)
    facts = asyncio.run(
        check(
            options.out.resolve(),
            options.browser,
            parts=options.part or PARTS,
            lie=options.lie,
        )
    )
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
