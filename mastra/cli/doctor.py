"""`mastra doctor`: what is installed, set and reached, and what to do about what is not."""

from __future__ import annotations

import asyncio
import os
import platform
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal

import typer
from rich.table import Table
from rich.text import Text

from mastra.cli.load import load_app
from mastra.cli.packages import brought_by, lacks, version_of
from mastra.cli.terminal import (
    FAILED,
    AppOption,
    JsonOption,
    check_port,
    in_loop,
    notes,
    print_json,
)
from mastra.errors import ConfigError, MastraError
from mastra.models.providers import PROVIDERS
from mastra.registry import Mastra

__all__ = ["doctor"]

State = Literal["ok", "off", "wrong"]
_MARKS: Final = {
    "ok": Text("✓ ok", "green"),
    "off": Text("- off", "dim"),
    "wrong": Text("✗ wrong", "red"),
}
_NAME: Final = "mastra-py"
_SHOWN: Final = ("openai", "anthropic", "gemini")
"""Providers whose keys are told of where they are not set, too."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    detail: str
    """What was found, and what to do where that is wrong."""


def doctor(
    app: AppOption = None,
    as_json: JsonOption = False,
    port: Annotated[int | None, typer.Option(help="The port that is to be free.")] = None,
) -> None:
    """Look at keys, extras, storage, Inngest and ports. Exit code 1 where something is wrong."""
    findings: list[Finding] = in_loop(_look, app, port)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            table.add_row(finding.what, _MARKS[finding.state], finding.detail)
        notes().print(table)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(FAILED)


async def _look(app: str | None, port: int | None) -> list[Finding]:
    found = [
        Finding(
            _NAME,
            "ok",
            f"{version_of(_NAME) or 'not installed'}, Python {platform.python_version()}",
        )
    ]
    found += _extras()
    try:
        mastra = load_app(app)
    except MastraError as error:
        return [*found, *_keys(), Finding("application", "wrong", error.message)]
    found += [Finding("application", "ok", _told(mastra)), *_keys()]
    found.append(await _storage(mastra))
    found += [finding async for finding in _inngest(mastra)]
    config = mastra.server
    chosen = port if port is not None else 4111 if config is None else config.port
    return [*found, _port("127.0.0.1" if config is None else config.host, chosen)]


def _extras() -> Iterator[Finding]:
    """Look at what each extra brings, by what this distribution says of itself."""
    for extra, packages in brought_by(_NAME).items():
        missing = [package for package, with_extras in packages if lacks(package, with_extras)]
        detail = f"pip install '{_NAME}[{extra}]'" if missing else "installed"
        yield Finding(f"extra {extra}", "off" if missing else "ok", detail)


def _told(mastra: Mastra) -> str:
    agents, workflows = mastra.list_agents(), mastra.list_workflows()
    return f"{len(agents)} agents, {len(workflows)} workflows"


def _keys() -> Iterator[Finding]:
    for name, provider in PROVIDERS.items():
        set_here = [key for key in provider.key_names if os.environ.get(key)]
        if set_here:
            yield Finding(f"key {name}", "ok", f"{set_here[0]} is set")
        elif name in _SHOWN:
            yield Finding(f"key {name}", "off", f"set {' or '.join(provider.key_names)}")


async def _storage(mastra: Mastra) -> Finding:
    name = type(mastra.storage).__name__
    try:
        async with mastra:
            for workflow in mastra.list_workflows().values():
                await workflow.list_runs(per_page=1)
                break
    except Exception as error:  # noqa: BLE001 - whatever a storage raises is what is told
        return Finding("storage", "wrong", f"{name}: {error}")
    if name == "InMemoryStorage":
        return Finding("storage", "off", "in memory: runs end with the process; see SQLStorage")
    return Finding("storage", "ok", name)


async def _inngest(mastra: Mastra) -> AsyncIterator[Finding]:
    engine: Any = mastra.engine
    if type(engine).__name__ != "InngestEngine":
        return
    if not engine.client.is_production and not os.environ.get("INNGEST_SIGNING_KEY"):
        detail = "no keys: a dev server is expected"
    else:
        missing = [n for n in ("INNGEST_SIGNING_KEY", "INNGEST_EVENT_KEY") if not os.environ.get(n)]
        if missing:
            yield Finding("inngest keys", "wrong", f"set {', '.join(missing)}")
        detail = "keys are set"
    origin = str(engine.client.api_origin)
    problem = await asyncio.to_thread(_unreached, origin)
    if problem is None:
        yield Finding("inngest", "ok", f"{origin} answers; {detail}")
    else:
        yield Finding("inngest", "wrong", f"{origin} does not answer ({problem}); {detail}")


def _unreached(url: str) -> str | None:
    """Return why an address does not answer; any answer will do."""
    try:
        urllib.request.urlopen(url, timeout=3).close()  # noqa: S310 - of the client's own settings
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def _port(host: str, port: int) -> Finding:
    try:
        check_port(host, port)
    except ConfigError as error:
        return Finding(f"port {port}", "wrong", error.message)
    return Finding(f"port {port}", "ok", "free")
