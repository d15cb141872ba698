"""`mastra runs`: stored runs, and what to do with them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from mastra.cli.load import load_app
from mastra.cli.running import conclude
from mastra.cli.terminal import AppOption, JsonOption, in_loop, plain, print_json, read_json
from mastra.errors import RunNotFoundError
from mastra.jsonable import Json
from mastra.registry import Mastra
from mastra.workflows.results import RunStatus
from mastra.workflows.workflow import Workflow

__all__ = ["runs"]

runs = typer.Typer(help="List, show, resume and cancel runs. By itself it lists them.")

WorkflowOption = Annotated[
    str | None, typer.Option("--workflow", "-w", help="Only runs of this workflow.")
]
RunArgument = Annotated[str, typer.Argument(help="The run's id, or its beginning.")]
_SHORTEST = 4
"""How much of an id is needed at least."""


@runs.callback(invoke_without_command=True)
def _options(context: typer.Context) -> None:  # typer calls it
    if context.invoked_subcommand is None:
        list_runs()


@runs.command("list")
def list_runs(
    workflow: WorkflowOption = None,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10**6, help="How many of each workflow.")] = 20,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first."""
    rows: list[dict[str, Json]] = in_loop(_list, app, workflow, status, limit)
    if as_json:
        print_json(rows)
        return
    console = plain()
    names = ("runId", "workflowName", "status", "createdAt")
    if not console.is_terminal:  # for programs: nothing is cut off
        for row in rows:
            sys.stdout.write("\t".join(str(row[name]) for name in names) + "\n")
        return
    table = Table("run", "workflow", "status", "created", box=None)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    console.print(table if rows else "No runs.")


async def _list(
    app: str | None, name: str | None, status: str | None, limit: int
) -> list[dict[str, Json]]:
    async with load_app(app) as mastra:
        found: list[dict[str, Json]] = []
        for workflow in _workflows(mastra, name):
            page = await workflow.list_runs(status=status, per_page=limit)
            found += [info.to_wire(frozenset()) for info in page.runs]
    return sorted(found, key=lambda row: str(row["createdAt"]), reverse=True)


def _workflows(mastra: Mastra, name: str | None) -> list[Workflow[Any, Any, Any]]:
    if name is not None:
        return [mastra.get_workflow_by_id(name)]
    return list(mastra.list_workflows().values())


async def _found(
    mastra: Mastra, name: str | None, given: str
) -> tuple[Workflow[Any, Any, Any], str]:
    """Return a run's workflow and its whole id.

    Args:
        mastra: The application.
        name: The workflow, where it is known.
        given: The run's id, or its beginning where that is no other run's.

    Raises:
        RunNotFoundError: There is no such run, or several begin so.
    """
    workflows = _workflows(mastra, name)
    for workflow in workflows:
        if await workflow.get_run(given) is not None:
            return workflow, given
    found: list[tuple[Workflow[Any, Any, Any], str]] = []
    for workflow in workflows if len(given) >= _SHORTEST else ():
        listed = await workflow.list_runs()
        found += [(workflow, run.run_id) for run in listed.runs if run.run_id.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(run_id for _, run_id in found[:5])
        raise RunNotFoundError(f"Several runs begin with {given!r}: {ids}. Give more of the id.")
    raise RunNotFoundError(f"There is no run {given!r} in this application's storage.")


@runs.command()
def show(
    run_id: RunArgument,
    workflow: WorkflowOption = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run with its steps."""
    wire: dict[str, Json] = in_loop(_show, app, workflow, run_id)
    if as_json:
        print_json(wire)
        return
    console = plain()
    console.print(f"{wire['runId']} of {wire['workflowName']}: {wire['status']}")
    table = Table("step", "status", box=None)
    for name, step in wire.get("steps", {}).items():
        table.add_row(name, step["status"])
    console.print(table)
    waiting = {
        name: step.get("suspendPayload")
        for name, step in wire.get("steps", {}).items()
        if step["status"] == "suspended"
    }
    if waiting:
        print_json({"suspendPayload": waiting})
    for name in ("result", "error"):
        if wire.get(name) is not None:
            print_json({name: wire[name]})


async def _show(app: str | None, name: str | None, run_id: str) -> dict[str, Json]:
    async with load_app(app) as mastra:
        workflow, run_id = await _found(mastra, name, run_id)
        info = await workflow.get_run(run_id)
        if info is None:
            raise RunNotFoundError(f"The run {run_id!r} was deleted.")
        return info.to_wire()


@runs.command()
def resume(
    run_id: RunArgument,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Resume data as JSON.")] = None,
    step: Annotated[str | None, typer.Option(help="Which suspended step.")] = None,
    workflow: WorkflowOption = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a suspended run and print its result."""
    conclude(in_loop(_resume, app, workflow, run_id, data, step), as_json=as_json)


async def _resume(
    app: str | None, name: str | None, run_id: str, data: str | None, step: str | None
) -> dict[str, Json]:
    given = None if data is None else read_json(data, "--data")
    async with load_app(app) as mastra:
        workflow, run_id = await _found(mastra, name, run_id)
        run = await workflow.create_run(run_id)
        return (await run.resume(given, step=step)).to_wire()


@runs.command()
def cancel(
    run_id: RunArgument,
    workflow: WorkflowOption = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a run."""
    cancelled, status = in_loop(_cancel, app, workflow, run_id)
    if as_json:
        print_json({"runId": cancelled, "status": status})
    else:
        plain().print(f"{cancelled} is {status}.")


async def _cancel(app: str | None, name: str | None, run_id: str) -> tuple[str, str]:
    async with load_app(app) as mastra:
        workflow, run_id = await _found(mastra, name, run_id)
        run = await workflow.create_run(run_id)
        await run.cancel()
        return run_id, await run.status()
