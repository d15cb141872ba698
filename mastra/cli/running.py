"""`mastra run`: one run of a workflow, with its progress."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mastra.cli.load import load_app
from mastra.cli.terminal import (
    FAILED,
    AppOption,
    JsonOption,
    in_loop,
    notes,
    print_json,
    read_all,
    read_json,
)
from mastra.errors import ConfigError, InputValidationError
from mastra.failures import Told
from mastra.jsonable import Json
from mastra.logs import cause_of

__all__ = ["Progress", "run"]

_MARKS = {
    "running": ("…", "yellow"),
    "success": ("✓", "green"),
    "failed": ("✗", "red"),
    "suspended": ("⏸", "blue"),
    "waiting": ("⏱", "cyan"),
    "canceled": ("■", "red"),
}


async def input_of(text: str | None, fields: list[str]) -> Json:
    """Return a workflow's input from JSON text, `-` for stdin, or `key=value` words.

    Raises:
        ConfigError: A word has no `=`, or the text is not JSON.
    """
    if text is not None:
        return read_json(await read_all("--input") if text == "-" else text, "--input")
    given: dict[str, Json] = {}
    for word in fields:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is not key=value. Whole inputs go to --input as JSON.")
        try:
            given[key] = read_json(value, key)
        except ConfigError:
            given[key] = value  # plain text needs no quotes
    return given or None


class Progress:
    """Shows the steps of a run as they go; in a terminal in place, else a line each.

    What the steps write goes to stdout as it is. Where that is the same screen, what is shown in place
    ends before it, and goes on below.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, str] = {}
        self._live: Live | None = None
        self._is_in_line = False
        """Whether what was written last has not ended its line."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        self._end_line()

    def show(self, event: Any) -> None:
        """Take an event in."""
        payload = event.payload
        if payload is None:
            return
        if event.type == "workflow-step-output":
            if isinstance(payload.output, str) and payload.output:
                self._write(payload.output)
            return
        if not event.type.startswith("workflow-step-") or payload.status is None:
            return
        name, status = str(payload.id), str(payload.status)
        self._steps[name] = status
        if not self._console.is_terminal:
            self._console.print(f"{_MARKS.get(status, ('·', ''))[0]} {name} {status}")
            return
        self._end_line()
        if self._live is None:
            # As lines by themselves is how it would have what is written to stdout in pieces.
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._live.update(self._table(), refresh=True)

    def _write(self, text: str) -> None:
        if sys.stdout.isatty():
            self._leave()
            self._is_in_line = not text.endswith("\n")
        sys.stdout.write(text)
        sys.stdout.flush()

    def _leave(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._steps.clear()

    def _end_line(self) -> None:
        if self._is_in_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._is_in_line = False

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, status in self._steps.items():
            mark, colour = _MARKS.get(status, ("·", "dim"))
            table.add_row(Text(mark, colour), name, Text(status, "dim"))
        return table


def run(
    workflow: Annotated[str, typer.Argument(help="The workflow's key or id.")],
    fields: Annotated[
        list[str] | None, typer.Argument(help="The input, as key=value words.")
    ] = None,
    given: Annotated[
        str | None, typer.Option("--input", "-i", help="The input as JSON; - reads stdin.")
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The run's id.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a workflow and print its result."""
    # What a failed step raised is told where the run has ended, and once.
    told = logging.getLogger("mastra")
    told.addFilter(_is_other)
    try:
        wire, raised = in_loop(_run, app, workflow, given, fields or [], run_id, as_json)
    finally:
        told.removeFilter(_is_other)
    conclude(wire, as_json=as_json, raised=raised)


def _is_other(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or cause_of(record) is None


def conclude(wire: dict[str, Json], *, as_json: bool, raised: BaseException | None = None) -> None:
    """Print a result, and leave with a code that says how it ended.

    Raises:
        Exit: The run did not end in success, nor suspended.
    """
    status = wire["status"]
    if as_json:
        print_json(wire)
    elif status == "success":
        print_json(wire.get("result"))
    else:
        console = notes()
        told = f" at step {failed}" if (failed := _failed_steps(wire)) else ""
        error: dict[str, Json] = wire.get("error") or {}
        words = [str(error[name]) for name in ("name", "message") if error.get(name)]
        why = ": ".join(words) if raised is None else str(Told(raised))
        text = f"The run {wire['runId']} is {status}{told}{': ' if why else '.'}{why}"
        console.print(Text(text), soft_wrap=True)
        if status == "suspended":
            print_json(wire.get("suspendPayload"))
            console.print(Text(f"Go on: mastra runs resume {wire['runId']} --data '{{…}}'", "dim"))
    if status not in ("success", "suspended"):
        raise typer.Exit(FAILED)


def _tell_of_cut_off(run_id: str) -> None:
    told = (
        f"The run {run_id} was cut off. It goes on where the application is served next, as by "
        f"`mastra start`; `mastra runs cancel {run_id}` ends it."
    )
    notes().print(Text(told, "dim"), soft_wrap=True)


def _failed_steps(wire: dict[str, Json]) -> str:
    steps: dict[str, dict[str, Json]] = wire.get("steps") or {}
    # What the run was given stands among them.
    parts = {name: one for name, one in steps.items() if name != "input"}
    failed = [name for name, one in parts.items() if one.get("status") == "failed"]
    return ", ".join(map(repr, failed))


async def _run(
    app: str | None,
    name: str,
    text: str | None,
    fields: list[str],
    run_id: str | None,
    as_json: bool,
) -> tuple[dict[str, Json], BaseException | None]:
    data = await input_of(text, fields)
    async with load_app(app) as mastra:
        workflow = mastra.get_workflow_by_id(name)
        started = await workflow.create_run(run_id)
        stream = started.stream(data)
        try:
            await stream.__aenter__()
        except InputValidationError:
            if run_id is None:
                # Nobody knows its id, so nobody could start it with better input.
                await workflow.delete_run(started.run_id)
            raise
        try:
            async with stream:
                if as_json:
                    return (await stream.result()).to_wire(), None
                with Progress(notes()) as progress:
                    async for event in stream:
                        progress.show(event)
        except asyncio.CancelledError:
            if mastra.storage.workflows.is_shared:
                _tell_of_cut_off(started.run_id)
            raise
        result = await stream.result()
        error: BaseException | None = getattr(result, "error", None)
        # Of a run that another process drives, only the text has come here.
        return result.to_wire(), error and (error.__cause__ or error)
