"""The command line: `python -m app "New York"` and `python -m app serve`.

Exit codes: 0 success, 1 the run failed, 2 wrong usage or set-up, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import anyio
import typer
import typer.core
from rich.console import Console
from rich.text import Text
from rich.traceback import Traceback

from agents.planning_agent import DEFAULT_MODEL
from app.demo import DEMO_MODEL, demo_weather
from app.main import build_mastra
from app.progress import RunView
from mastra import ConfigError, MastraError, ValidationError

__all__ = ["FAILED", "MISUSED", "cli", "main"]

FAILED = 1
"""Exit code of a run that failed."""
MISUSED = 2
"""Exit code of a wrong call or a wrong set-up: an option, a key, a missing package."""

_BRANCHES = {
    "plan-indoor-activities": "over 50 %",
    "plan-activities": "50 % or less",
}


class Engine(StrEnum):
    """What runs the workflow."""

    INPROCESS = "inprocess"
    INNGEST = "inngest"


class _CityFirst(typer.core.TyperGroup):
    """A group whose first command needs no name: what is no command is a city."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in where it was left out."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["plan", *args]
        return super().parse_args(ctx, args)


cli = typer.Typer(
    cls=_CityFirst,
    no_args_is_help=True,
    add_completion=False,
    # A traceback that shows local variables would show keys.
    pretty_exceptions_show_locals=False,
)


@cli.command()
def plan(
    city: Annotated[str, typer.Argument(help="Where to spend the day.")],
    model: Annotated[
        str | None, typer.Option(help="provider/model; `openai/gpt-4o` if left out.")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Embedded model; a sample forecast where there is no network."),
    ] = False,
    engine: Annotated[Engine, typer.Option(help="What runs the workflow.")] = Engine.INPROCESS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the run's result as JSON, and nothing else.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Plan a day in a city. The word `plan` may be left out."""
    console = Console(stderr=True, highlight=False)
    _leave_when_told()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that has no such character is no reason to fail.
            reconfigure(errors="replace")
    with RunView(console, show_text=not as_json) as view:
        try:
            app = build_mastra(
                model=model or (DEMO_MODEL if demo else DEFAULT_MODEL),
                weather=demo_weather(view.note) if demo else None,
                engine=_engine(engine),
            )
            started = time.monotonic()
            result = anyio.run(_run, app, city, view)
        except MastraError as error:
            _fail(console, error, debug=debug)
    if as_json:
        sys.stdout.write(json.dumps(result.to_wire(), ensure_ascii=False, indent=2) + "\n")
    if result.status != "success":
        _fail(console, getattr(result, "error", None), status=result.status, debug=debug)
    _conclude(console, result, time.monotonic() - started)


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 4111,
    model: Annotated[
        str | None, typer.Option(help="provider/model; `openai/gpt-4o` if left out.")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Embedded model; a sample forecast where there is no network."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Serve agents and workflows over HTTP, and to an Inngest server at /api/inngest."""
    console = Console(stderr=True, highlight=False)
    console.print(
        Text(f"Serving on http://{host}:{port} (REST under /api, Inngest at /api/inngest, /docs)")
    )
    from app.server import run  # noqa: PLC0415 - only this command needs a web framework

    try:
        app = build_mastra(
            model=model or (DEMO_MODEL if demo else DEFAULT_MODEL),
            weather=demo_weather(lambda note: console.print(Text(note))) if demo else None,
        )
        run(host, port, app)
    except MastraError as error:
        _fail(console, error, debug=debug)


def _leave_when_told() -> None:
    """Have SIGTERM, and SIGHUP where the terminal goes, end the command as an error would.

    The terminal gets its cursor back, and what is open is closed.
    """

    def leave(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What is ignored stays so, as `nohup` wants it.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


async def _run(app: Any, city: str, view: RunView) -> Any:
    async with app:
        run = await app.get_workflow("activityPlanningWorkflow").create_run()
        async with run.stream(input_data={"city": city}) as stream:
            async for event in stream:
                view.show(event)
        return await stream.result()


def _engine(name: Engine) -> Any:
    if name is Engine.INPROCESS:
        return None
    from app.durable import build_engine  # noqa: PLC0415 - imports the SDK

    return build_engine()


def _conclude(console: Console, result: Any, seconds: float) -> None:
    branch = next(name for name in _BRANCHES if name in result.steps)
    forecast = result.steps["fetch-weather"].output
    chance = f"{forecast['precipitationChance']:.0f} % chance of rain, {_BRANCHES[branch]}"
    size = len(result.result.activities)
    console.print(Text(f"Branch: {branch} ({chance})"), soft_wrap=True)
    console.print(
        Text(f"Result: {result.status}, a plan of {size} characters in {seconds:.1f} s"),
        soft_wrap=True,
    )


def _fail(
    console: Console, error: BaseException | None, *, status: str = "failed", debug: bool
) -> NoReturn:
    message = str(error) if error is not None else f"The run ended as {status}."
    console.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    cause = error.__cause__ if error is not None and error.__cause__ is not None else error
    if debug and cause is not None:
        console.print(Traceback.from_exception(type(cause), cause, cause.__traceback__))
    is_misuse = isinstance(error, (ConfigError, ValidationError))
    raise typer.Exit(MISUSED if is_misuse else FAILED)


def main() -> None:
    """Run the command line."""
    if sys.stdout is None:  # whoever called closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
    try:
        try:
            cli(prog_name="python -m app")
        finally:
            sys.stdout.flush()
    except OSError as error:
        # A full disk, or a reader that has gone. What is left would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED if isinstance(error, BrokenPipeError) else f"Error: {error}")
