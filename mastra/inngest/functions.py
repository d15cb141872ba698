"""The functions of an app: one for each workflow, and one for each that runs on a schedule."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import inngest

from mastra.clock import Clock
from mastra.errors import ConfigError, DefinitionChangedError, WorkflowDefinitionError
from mastra.failures import text_of
from mastra.inngest.continuation import LegFull, Send, can_go_on, claim_next, see_to_next
from mastra.inngest.end_notice import tell_again
from mastra.inngest.leg_table import LegTable
from mastra.inngest.limits import (
    MAX_OPERATIONS,
    check_limits,
    check_steps_per_run,
    least_operations,
    may_wait,
    most_steps,
)
from mastra.inngest.mail import Mail
from mastra.inngest.ops import FrontierOps
from mastra.inngest.options import function_options, starts_only
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.envelope import MAX_OUTPUT_BYTES, encode_exact
from mastra.inngest.wire.leg_event import LegEvent, read_leg
from mastra.inngest.wire.names import (
    FUNCTION_RETRIES,
    cancel_event,
    cron_id,
    function_id,
)
from mastra.inngest.wire.request import RequestMiddleware, current_request
from mastra.inngest.wire.transport import NotReached
from mastra.inngest.work import AskAgain, WorkClaim, WorkClaims
from mastra.inngest.worker_leg import LegCanceled, LegGone, LegSuperseded, WorkerLeg
from mastra.jsonable import Json, dump_json
from mastra.logs import get_logger
from mastra.services import Services, surroundings
from mastra.storage.base import WorkflowStore
from mastra.workflows.engines.base import Halt
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.outcome import (
    Outcome,
    outcome_of_fault,
    outcome_of_halt,
    outcome_of_value,
)
from mastra.workflows.engines.walker import walk
from mastra.workflows.results import WorkflowResult
from mastra.workflows.spec import WorkflowSpec

__all__ = ["WorkflowFunctions"]

INVOKED: Final = "inngest/function.invoked"
"""The event by which the dashboard and other functions call a function."""

TIMER: Final = "inngest/scheduled.timer"
"""The event of a schedule."""


class WorkflowFunctions:
    """Makes the functions of workflows and answers requests to them."""

    def __init__(
        self,
        client: inngest.Inngest,
        api: InngestApi,
        legs: LegTable,
        mail: Mail,
        take_answer: Callable[[RunTarget], Awaitable[None]],
        send: Send,
        *,
        max_request_s: float | None,
        buffered_steps: int,
        steps_per_run: int | None,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._api = api
        self._legs = legs
        self.work = WorkClaims(lambda: legs.is_closed)
        """What this process is at work on."""
        self._mail = mail
        self._take_answer = take_answer
        self._send = send
        self._max_request_s = max_request_s
        self._buffered_steps = buffered_steps
        self._steps_per_run = (
            most_steps() if steps_per_run is None else check_steps_per_run(steps_per_run)
        )
        self._clock = clock
        self._warned = set[str]()

    def of(
        self, spec: WorkflowSpec, store: WorkflowStore, services: Services | None
    ) -> list[inngest.Function[Any]]:
        """Return the functions of one workflow."""
        try:
            check_limits(spec)
        except WorkflowDefinitionError as error:  # its runs are refused; the others are served
            get_logger().warning("%s", error)
        least = least_operations(spec)
        if least >= MAX_OPERATIONS and not store.is_shared:
            get_logger().warning(
                "Workflow %r has %s steps and sleeps, and Inngest takes %s between a start or a "
                "resume and the next suspension or end: a run that is not suspended on its way "
                "fails (RUN_TOO_LONG). With a storage that other processes see it would go on.",
                *(spec.id, f"{least:,}", MAX_OPERATIONS - 1),
            )
        if may_wait(spec):
            self._warn_of_waiting(RunTarget(spec, store, "", services))
        options = dict(spec.flow_control)
        cron_input = options.pop("input_data", None)
        cron_state = options.pop("initial_state", None)
        common = function_options(options)
        cron: str | None = common.pop("cron", None)
        retries: int = options.get("retries", FUNCTION_RETRIES)
        common["retries"] = retries
        common["middleware"] = [RequestMiddleware]

        name = function_id(spec.id)

        def target(run_id: str) -> RunTarget:
            return RunTarget(spec, store, run_id, services)

        async def run_workflow(ctx: inngest.Context) -> Json:
            _refuse_others(ctx.event, f"{self._client.app_id}-{name}", name)
            try:
                event = read_leg(ctx.event.data)
            except ConfigError as error:  # it will not be another one when it comes again
                raise inngest.NonRetriableError(text_of(error)) from error
            with surroundings(services, self._clock):
                return await self._answer(ctx, target, event)

        async def run_on_schedule(ctx: inngest.Context) -> Json:
            _refuse_others(ctx.event, f"{self._client.app_id}-{cron_id(spec.id)}", TIMER)
            event = LegEvent(None, input=cron_input, initial_state=cron_state)
            event.is_on_schedule = True
            with surroundings(services, self._clock):
                return await self._answer(ctx, target, event)

        found = [
            self._client.create_function(
                fn_id=name,
                trigger=inngest.TriggerEvent(event=name),
                cancel=[
                    inngest.Cancel(
                        event=cancel_event(spec.id),
                        if_exp="event.data.runId == async.data.runId",
                    )
                ],
                **starts_only(common),
            )(run_workflow)
        ]
        if cron is not None:
            common.pop("idempotency", None)
            found.append(
                self._client.create_function(
                    fn_id=cron_id(spec.id),
                    trigger=inngest.TriggerCron(cron=cron),
                    cancel=[inngest.Cancel(event=cancel_event(spec.id))],
                    **common,
                )(run_on_schedule)
            )
        return found

    async def _answer(
        self, ctx: inngest.Context, target: Callable[[str], RunTarget], event: LegEvent
    ) -> Json:
        facts = current_request()
        if self._legs.is_closed:
            raise AskAgain("The worker is going down; send the request again.")
        run_id = event.run_id = event.run_id or facts.run_id
        async with self.work.of(target(run_id), facts) as claim:
            return await self._answer_alone(ctx, target, event, claim)

    async def _answer_alone(
        self,
        ctx: inngest.Context,
        target: Callable[[str], RunTarget],
        event: LegEvent,
        claim: WorkClaim,
    ) -> Json:
        facts, run_id = current_request(), cast("str", event.run_id)
        try:
            await claim.take()
            leg = await self._legs.open(target(run_id), event, facts)
        except LegSuperseded:
            await tell_again(self._mail.send, target(run_id), event)
            await self._see_to_next(ctx, target(run_id), event)
            return await self._stored_answer(target(run_id))
        except DefinitionChangedError as error:
            # Asked again for as long as the server does: a worker that has the definition, or
            # this one once it is put back, goes on. Nothing has run.
            get_logger({"run_id": run_id}).error("A run waits for its definition. %s", error)
            # The server keeps a message and no code.
            raise DefinitionChangedError(f"{error.code}: {error}", details=error.details) from error
        except (AskAgain, ConfigError):
            raise
        except Exception as error:
            if facts.is_error_final or not event.token:
                raise inngest.NonRetriableError(text_of(error)) from error
            raise
        try:
            result = await self._drive(ctx, leg, claim)
        except LegSuperseded:
            return await self._stored_answer(target(run_id))
        finally:
            await self._legs.close(leg)
        if result is not None and result.status == "suspended":
            self._warn_of_waiting(leg.command.target)
            # Before the server is told of the end: it sends the request again if this process dies.
            await self._take_answer(target(run_id))
        if result is None:
            await self._see_to_next(ctx, target(run_id), event)
            return {"runId": run_id, "status": "running"}
        return _answer_of(run_id, result)

    async def _drive(
        self, ctx: inngest.Context, leg: WorkerLeg, claim: WorkClaim
    ) -> WorkflowResult[Any] | None:
        """Walk as far as this request goes; return the result if the leg ended in it."""
        facts, run, spec = current_request(), leg.run, leg.command.target.spec
        run.engine_facts = {"step": ctx.step, "runId": facts.run_id, "attempt": facts.attempt}
        ops = FrontierOps(
            ctx,
            facts,
            leg,
            claim,
            max_request_s=self._max_request_s,
            buffered_steps=self._buffered_steps,
            steps_per_run=self._steps_per_run,
        )
        try:
            try:
                value = await ops.drive(walk(run, ops, spec))
                outcome = outcome_of_value(run, spec, value)
            except Halt as halt:
                outcome = outcome_of_halt(run, spec, halt)
            except LegFull:
                await claim_next(leg, self._mail)
                return None
            except LegCanceled:
                _raise_if_lost(leg)
                outcome = Outcome("canceled")
            except LegGone:
                if not await self._is_cancelled(facts.run_id):
                    return None  # the server forgot it; our storage can bring it back
                outcome = Outcome("canceled")
            if run.stop.is_thrown and outcome.status not in ("failed", "tripwire"):
                outcome = Outcome("canceled")
            await claim.confirm()
            return await leg.conclude(outcome)
        except (LegSuperseded, AskAgain):
            raise
        except Exception as error:
            if not facts.is_error_final:
                raise
            await claim.confirm()
            return await leg.conclude(outcome_of_fault(run, error))

    def _warn_of_waiting(self, target: RunTarget) -> None:
        """Say, once a workflow, that its suspended runs may be lost."""
        workflow_id = target.workflow_id
        if target.store.is_shared or not self._client.is_production or workflow_id in self._warned:
            return
        self._warned.add(workflow_id)
        get_logger().warning(
            "Runs of workflow %r may be suspended, and the storage of this worker is its own, in "
            "memory: they are gone with the process, and another worker cannot go on with them. "
            "Give all workers one storage: Mastra(storage=SQLStorage(...)), SQLite in a file or "
            "PostgreSQL.",
            workflow_id,
        )

    async def _see_to_next(self, ctx: inngest.Context, target: RunTarget, event: LegEvent) -> None:
        """Look after the leg that goes on with this one, where there is to be one."""
        if can_go_on(target, event):
            await see_to_next(ctx, current_request(), target, event, ctx.event.data, self._send)

    async def _stored_answer(self, target: RunTarget) -> dict[str, Json]:
        """Return what the server is told by a request that came too late, or twice."""
        head = await target.store.get_run(target.workflow_id, target.run_id)
        status = "unknown" if head is None else head.status
        if status == "suspended":
            await self._take_answer(target)
        return {"runId": target.run_id, "status": status, "isRepeated": True}

    async def _is_cancelled(self, run_id: str) -> bool:
        with contextlib.suppress(NotReached):
            found = await self._api.server_run(run_id)
            return found is not None and found.status == "Cancelled"
        return False


def _refuse_others(event: inngest.Event, function: str, trigger: str) -> None:
    """Refuse what was not sent to this function.

    Which function is called stands beside the body, which alone is signed: whoever has seen one
    request could send it to another function.
    """
    if event.name == trigger:
        return
    invoked: Any = event.data.get("_inngest")
    known = cast("dict[str, Any]", invoked) if isinstance(invoked, dict) else {}
    if event.name != INVOKED or known.get("fn_id", function) != function:
        raise inngest.NonRetriableError(f"This event is not for function {function!r}.")


def _raise_if_lost(leg: WorkerLeg) -> None:
    if leg.is_superseded:
        raise LegSuperseded
    if leg.is_stopping:
        raise AskAgain("The worker is going down; send the request again.")


def _answer_of(run_id: str, result: WorkflowResult[Any]) -> dict[str, Json]:
    """Return what the server shows as the function's output.

    Raises:
        NonRetriableError: The run failed, so that the server shows it as failed.
    """
    if result.status in ("failed", "tripwire"):
        wire = result.to_wire()
        error: Mapping[str, Any] = wire.get("error") or wire.get("tripwire") or {}
        text = error.get("message") or error.get("reason") or result.status
        raise inngest.NonRetriableError(f"Run {run_id!r} {result.status}: {text}")
    answer: dict[str, Json] = {"runId": run_id, "status": result.status}
    wire = result.to_wire()
    for name in ("result", "suspended", "suspendPayload"):
        if name in wire:
            answer[name] = wire[name]
    value, is_text = encode_exact(answer)
    told: Json = {"runId": run_id, "status": result.status, "text": value} if is_text else answer
    if len(dump_json(told, what="What the server shows of a run")) > MAX_OUTPUT_BYTES:
        return {"runId": run_id, "status": result.status, "isTooLarge": True}
    return told
