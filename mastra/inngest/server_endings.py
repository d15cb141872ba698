"""Hears of runs that the server ended by itself, so that storage knows without being asked.

A run is cancelled in the dashboard, or given up because its worker could not be reached for long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, cast

import inngest

from mastra.errors import ConfigError, DefinitionChangedError
from mastra.inngest.inquiry import ACTIVE, given_up
from mastra.inngest.wire.leg_event import read_leg
from mastra.inngest.wire.names import FUNCTION_RETRIES, RUN_ENDED, function_id
from mastra.inngest.worker_leg import owner_of, token_of
from mastra.jsonable import Json
from mastra.storage.base import RunChanges
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.outcome import Outcome
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.choice import check_definition

__all__ = ["Ender", "Served", "ended_function", "keep_changed"]

FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"


class Ender(Protocol):
    """What ends runs in storage: an engine, seen from below."""

    async def take_end(self, target: RunTarget, owner: str, outcome: Outcome) -> None:
        """End a run in storage if the leg that its owner drives is still under way there."""
        ...


Served = tuple[Ender, WorkflowSpec, Any]
"""An engine, a workflow, and the runtime that has its store and its services."""


def ended_function(client: inngest.Inngest, served: Mapping[str, Served]) -> inngest.Function[Any]:
    """Return the function that hears of the ends of an app's workflows."""
    # Only of workflows of this app: every function of the environment ends with such an event.
    prefix = json.dumps(f"{client.app_id}-{function_id('')}")
    expression = f"event.data.function_id.startsWith({prefix})"

    async def run_ended(ctx: inngest.Context) -> None:
        data = cast("dict[str, Any]", ctx.event.data)
        name = str(data["function_id"]).removeprefix(f"{client.app_id}-{function_id('')}")
        # A workflow's schedule is a function of its own.
        known = served.get(name) or served.get(name.removesuffix(".cron"))
        if known is None:
            return
        engine, spec, runtime = known
        server_run = str(data["run_id"])
        first = cast("dict[str, Any]", data["event"])
        try:
            event = read_leg(cast("dict[str, Any]", first.get("data") or {}))
        except ConfigError:
            return  # it has begun no run
        target = RunTarget(spec, runtime.store, event.run_id or server_run, runtime.services)
        outcome = Outcome("canceled")
        if ctx.event.name == FAILED:
            error = cast("dict[str, Any]", data.get("error") or {})
            outcome = given_up(error.get("message"))
        await engine.take_end(target, owner_of(token_of(event.token, server_run)), outcome)

    return client.create_function(
        fn_id=RUN_ENDED,
        trigger=[
            inngest.TriggerEvent(event=name, expression=expression) for name in (FAILED, CANCELLED)
        ],
        retries=FUNCTION_RETRIES,
    )(run_ended)


async def keep_changed(target: RunTarget, loaded: LoadedRun, error: dict[str, Json]) -> None:
    """Leave a run alone that failed on the server because its workflow was changed.

    It may be back by now, so that what the server was told decides, too.
    """
    told = str(error.get("message"))
    refused: DefinitionChangedError | None = None
    if str(DefinitionChangedError.code) in told:
        refused = DefinitionChangedError(told)
    try:
        check_definition(target.spec, loaded)
    except DefinitionChangedError as changed:
        refused = changed
    if refused is not None:
        await target.store.update_run(
            target.workflow_id,
            target.run_id,
            RunChanges(owner=None),
            expected_status=ACTIVE,
            expected_owner=loaded.head.owner,
        )
        raise refused
