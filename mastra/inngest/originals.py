"""Runs that a program of the original's packages drives: what it is told, and what it tells.

Its worker has a storage of its own and knows nothing of ours. What it tells on the run's channel is
put down here as if the steps had run here, so that results, readers, lists and resumes of this
library find what they look for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, cast

from mastra.clock import now_ms
from mastra.errors import RunError, RunStateError
from mastra.inngest.mail import Mail, RunKey
from mastra.inngest.publisher import Publisher
from mastra.inngest.wire.api import InngestApi, Subscription
from mastra.inngest.wire.names import TOPIC, channel
from mastra.inngest.wire.transport import NotReached
from mastra.inngest.worker_leg import LegSuperseded, WorkerLeg
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunHead
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import load_run
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import begin
from mastra.workflows.engines.outcome import Outcome, outcome_of_value
from mastra.workflows.events import Kind
from mastra.workflows.places import index_path
from mastra.workflows.records import StepRecord

__all__ = ["Originals"]

RETRY_S: Final = 0.5


class Originals:
    """The workflows that programs of the original serve, and the runs of them that are followed."""

    def __init__(self, api: InngestApi, mail: Mail) -> None:
        self.workflow_ids: set[str] = set()
        """The workflows that such a program serves."""
        self._api = api
        self._mail = mail
        self._tasks: dict[RunKey, asyncio.Task[None]] = {}

    async def follow(self, command: Command, owner: str) -> dict[str, Json]:
        """Listen to a run from here on; return the data of the event that begins the leg.

        Args:
            command: What is to be done.
            owner: What storage has as the driver of the leg.

        Raises:
            RunStateError: The original cannot do that by an event.
            NotReached: The server could not be reached.
            RunError: It refused the subscription.
        """
        target = command.target
        key = (target.workflow_id, target.run_id)
        data = _event_data(command)
        subscription = await self._subscribe(key)
        try:
            leg = await self._open(command, owner)
        except BaseException:
            await subscription.aclose()
            raise
        self.forget(key)
        self._mail.rounds.add(leg.publisher)
        self._tasks[key] = asyncio.create_task(  # noqa: TID251 - ended by `forget` or `aclose`
            self._listen(key, _Shadow(leg), subscription), name=f"mastra run {target.run_id}"
        )
        return data

    def forget(self, key: RunKey) -> None:
        """Listen to a run no longer."""
        task = self._tasks.pop(key, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def aclose(self) -> None:
        """Listen to no run any more."""
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe(self, key: RunKey) -> Subscription:
        return await self._api.subscribe(channel(*key), TOPIC)

    async def _open(self, command: Command, owner: str) -> WorkerLeg:
        target = command.target
        loaded = await load_run(target.store, target.workflow_id, target.run_id)
        run = begin(command, loaded)
        writer = JournalWriter(run, target.spec, target.store)
        key = (target.workflow_id, target.run_id)
        readers = self._mail.readers_noted(key, None if loaded is None else _noted(loaded.head))
        start = run.first_seq
        publisher = Publisher(run, readers, self._mail.outbox, start)
        return WorkerLeg(command, run, writer, publisher, self._api, owner)

    async def _listen(self, key: RunKey, shadow: _Shadow, subscription: Subscription) -> None:
        """Take what is told until the leg has ended; subscribe anew where that breaks off."""
        try:
            while not await _hear(shadow, subscription):
                await asyncio.sleep(RETRY_S)
                with contextlib.suppress(NotReached, RunError):  # it is tried again
                    subscription = await self._subscribe(key)
        except LegSuperseded:
            pass  # it was ended meanwhile, such as by a cancellation
        except Exception as error:  # noqa: BLE001 - whoever waits asks the server in the end
            get_logger({"run_id": key[1], "workflow_id": key[0]}).warning(
                "What the worker of run %r tells could not be taken: %s", key[1], error
            )
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]
            await self._mail.rounds.end(shadow.leg.publisher)


async def _hear(shadow: _Shadow, subscription: Subscription) -> bool:
    """Take what is told; return whether the leg has ended, and not just the connection."""
    messages = aiter(subscription.messages())
    async with contextlib.aclosing(subscription):
        while True:
            try:
                message = await anext(messages)
            except StopAsyncIteration:
                return False
            except Exception as error:  # noqa: BLE001 - the server went away, or the network
                get_logger().debug("Realtime of Inngest broke off: %s", error)
                return False
            if isinstance(message, dict) and await shadow.take(cast("dict[str, Any]", message)):
                return True


def _noted(head: RunHead) -> Any:
    return head.data.get("inngest")


class _Shadow:
    """A leg that runs elsewhere, as it is put down here."""

    def __init__(self, leg: WorkerLeg) -> None:
        self.leg = leg
        self._begun: dict[str, StepRecord] = {}
        """The steps under way, by the names that they are told of with."""
        self._last: StepRecord | None = None

    async def take(self, message: dict[str, Any]) -> bool:
        """Take an event of the original; return whether it ends the leg."""
        told: Any = message.get("payload")
        facts = cast("dict[str, Any]", told if isinstance(told, dict) else {})
        step_id = str(facts.get("id") or facts.get("stepName") or "")
        match message.get("type"):
            case "workflow-step-start" if step_id:
                self._start(step_id, facts)
            case "workflow-step-waiting" if step_id:
                self._start(step_id, facts, is_sleep=True)
            case "workflow-step-result" | "workflow-step-suspended" if step_id:
                await self._end(step_id, facts)
            case "workflow-step-output":
                self._write(Kind.OUTPUT, step_id, facts.get("output"))
            case "workflow-finish":
                await self.leg.conclude(self._outcome(facts))
                return True
            case str() as kind if kind.startswith("data-"):
                self._write(Kind.CUSTOM, step_id, {"type": kind, "data": message.get("data")})
            case _:
                pass
        return False

    def _start(self, step_id: str, facts: dict[str, Any], *, is_sleep: bool = False) -> StepRecord:
        run, op_id = self.leg.run, self._op_of(step_id)
        at = facts.get("startedAt") or now_ms()
        record = StepRecord(op_id, step_id, facts.get("payload"), int(at))
        if is_sleep:
            record.kind = "sleep"
        told: dict[str, Any] = facts.get("metadata") or {}
        record.iteration = told.get("iterationCount")
        if (earlier := run.journal.get(op_id)) is not None:  # it was suspended
            record.payload = earlier.payload
            record.resumed_at = int(facts.get("resumedAt") or at)
            record.resume_payload = facts.get("resumePayload")
        run.note(Kind.WAITING if is_sleep else Kind.STEP_START, record.begun())
        self._begun[step_id] = self._last = record
        return record

    async def _end(self, step_id: str, facts: dict[str, Any]) -> None:
        run = self.leg.run
        record = self._begun.pop(step_id, None) or self._start(step_id, facts)
        self._begun.pop(step_id, None)
        if facts.get("payload") is not None:
            record.payload = facts["payload"]
        status = facts.get("status") or "success"
        record.status = status
        ended_at = int(facts.get("endedAt") or facts.get("suspendedAt") or now_ms())
        record.ended_at = ended_at
        match status:
            case "success":
                record.output = facts.get("output")
            case "suspended":
                record.suspended_at = ended_at
                record.suspend_payload = _without_meta(facts.get("suspendPayload"))
                record.labels = tuple(facts.get("resumeLabels") or ())
            case _:
                record.error = _error(facts.get("error"))
        run.order = record.order = run.order + 1
        record.end_seq = run.log.append(Kind.STEP_END, record)
        run.path.append(step_id)
        await self.leg.commit(record)

    def _write(self, kind: Kind, step_id: str, value: Json) -> None:
        record = self._begun.get(step_id) or self._last
        if record is not None:
            self.leg.run.note(kind, record, value)

    def _op_of(self, step_id: str) -> str:
        """Return a name for the operation that no other turn of a loop has."""
        op_id = stem = step_id.replace(".", "/")
        known, turn = self.leg.run.journal, 0
        while op_id in known and known[op_id].status != "suspended":
            turn += 1
            op_id = f"{stem}[{turn}]"
        return op_id

    def _outcome(self, facts: dict[str, Any]) -> Outcome:
        run, spec = self.leg.run, self.leg.command.target.spec
        status = str(facts.get("status") or facts.get("workflowStatus") or "failed")
        match status:
            case "success":
                return outcome_of_value(run, spec, facts.get("result"))
            case "failed":
                # An error in a message may be empty: its own fields are not part of its JSON.
                last = next((r for r in run.latest.values() if r.status == "failed"), None)
                told = facts.get("error")
                return Outcome("failed", error=_error(told or (last and last.error)))
            case "tripwire":
                return Outcome("tripwire", tripwire=facts.get("tripwire") or {})
            case _:
                return Outcome(status)


def _without_meta(payload: Any) -> Json:
    if not isinstance(payload, dict):
        return payload
    given = cast("dict[str, Json]", payload)
    return {name: value for name, value in given.items() if name != "__workflow_meta"}


def _error(told: Any) -> dict[str, Json]:
    if isinstance(told, dict):
        facts = cast("dict[str, Json]", told)
        return {"name": "Error", "message": "The step failed.", **facts}
    return {"name": "Error", "message": "The step failed." if told is None else str(told)}


def _event_data(command: Command) -> dict[str, Json]:
    """Return what the original's function is told.

    Raises:
        RunStateError: It knows no such event.
    """
    target, reopening = command.target, command.reopening
    if command.kind not in ("start", "resume") or (
        command.kind == "resume" and reopening.target is None
    ):
        raise RunStateError(
            f"Workflow {target.workflow_id!r} is served by a program of the original, whose runs "
            "can be started, resumed and cancelled from here. Go back in time or go on step by "
            "step there.",
            code="NOT_SERVED_HERE",
            details={"workflowId": target.workflow_id, "runId": target.run_id},
        )
    data: dict[str, Json] = {
        "runId": target.run_id,
        "workflowId": target.workflow_id,
        "requestContext": command.request_context.to_json(),
    }
    if command.resource_id is not None:
        data["resourceId"] = command.resource_id
    if command.per_step:
        data["perStep"] = True
    if reopening.target is None:
        return {**data, "inputData": command.input, "initialState": command.initial_state}
    # What the steps before it gave, its worker has in its own storage.
    op_id = min(reopening.target.op_ids)
    steps: list[Json] = [part.partition("[")[0] for part in op_id.split("/")]
    resume: dict[str, Json] = {
        "steps": steps,
        "resumePayload": reopening.target.data,
        "resumePath": list(index_path(target.spec, op_id.partition("/")[0])),
    }
    return {**data, "inputData": reopening.target.data, "resume": resume}
