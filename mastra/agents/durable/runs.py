"""Runs of a durable agent by itself: each is the run of a workflow of one durable step.

The run is driven by the application's engine, not by whoever reads it: a reader that leaves does
not stop it, and another process can go on with it. Chunks reach a reader of the process that
drives the run as they are; what is stored of them is what any workflow's run stores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import aclosing
from types import NoneType
from typing import Any, Final, cast

from mastra.agents.chunks import plain
from mastra.agents.durable.follower import Reading, follow
from mastra.agents.durable.step import BuiltAgent, DurableAgent
from mastra.agents.limits import UsageLimits
from mastra.agents.loop.loop import LoopSteps, run_agent
from mastra.agents.prompt import system_messages
from mastra.agents.records.client_tools import described, from_description, results_by_call
from mastra.agents.records.ledger import STEP
from mastra.agents.records.step_records import message_from_record
from mastra.agents.records.told_chunks import message_id_of
from mastra.agents.results import AgentResult, stored_form
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.wait import Resume
from mastra.agents.waiting.stored_runs import (
    StoredRuns,
    check_caller,
    not_waiting,
    streamed_of,
    workflow_id_of,
)
from mastra.agents.waiting.suspended import (
    SuspendedRun,
    SuspendedRuns,
    WaitingCall,
    Wanted,
    run_from_head,
    unreadable_run,
)
from mastra.errors import (
    OPTION_REFUSED,
    ConfigError,
    RunNotFoundError,
    RunStateError,
    SerializationError,
    StorageError,
)
from mastra.failures import error_to_json
from mastra.jsonable import Json, to_jsonable
from mastra.models.message_forms import messages_from
from mastra.models.settings import ModelSettings
from mastra.request_context import RESOURCE_ID
from mastra.schema import ANY
from mastra.services import Services
from mastra.storage.base import RunHead, WorkflowStore
from mastra.storage.damage import UNREADABLE, is_unreadable
from mastra.workflows.engines.inprocess import InProcessEngine
from mastra.workflows.engines.journal import load_run
from mastra.workflows.records import StepRecord
from mastra.workflows.run_info import RunInfo
from mastra.workflows.runtime import Runtime
from mastra.workflows.step_context import StepContext
from mastra.workflows.workflow import Workflow, create_workflow

__all__ = ["DurableRuns"]

_ACTIVE: Final = ("running", "waiting")
_LIVE: Final = frozenset(("abort_signal", "request_context", "run_id"))
_OF_RESUME: Final = frozenset(("client_results", "memory"))
"""What may be said to a run that goes on. Whose thread it is was said when the run was started."""
_MESSAGES: Final = frozenset(("instructions", "system", "context"))
_STORED: Final = _MESSAGES | {
    "active_tools",
    "client_tools",
    "include_raw_chunks",
    "limits",
    "max_processor_retries",
    "max_steps",
    "memory",
    "model",
    "model_settings",
    "provider_options",
    "require_tool_approval",
    "structured_output",
    "tool_call_concurrency",
    "tool_choice",
}
"""Options that are stored with a run, so that it goes on with them in another process."""


class DurableRuns:
    """The runs of one durable agent.

    Attributes:
        workflow: Whose runs they are; to list, look at, observe, cancel and delete them.
    """

    def __init__(self, agent: BuiltAgent, runtime: Runtime, *, durable: bool = True) -> None:
        self._agent = agent
        self._agent_id = agent.id
        step = _AgentAlone(agent, {}, ANY, None).step(STEP, ANY, agent.description or None)
        workflow_id = workflow_id_of(agent.id, durable=durable)
        made = create_workflow(id=workflow_id, input_schema=Any, output_schema=Any)
        self.workflow: Workflow[Any, Any, Any] = made.then(step).commit()
        self.workflow.bind(runtime)
        self._parts = StoredRuns(runtime.store, agent.id)
        """Its runs that are a part of somebody else's: another agent asks it, and drives them."""

    @classmethod
    def of_plain(
        cls, agent: BuiltAgent, store: WorkflowStore, services: Services | None
    ) -> DurableRuns:
        """Return the stored runs of an agent that is not durable, to look at."""
        return cls(agent, Runtime(InProcessEngine(), store, services), durable=False)

    def start(self, run: AgentRun) -> LoopSteps:
        """Return what moves the readers' view of a new run on."""
        run.transcript.message_id = message_id_of(run.run_id)

        async def begin() -> Reading:
            given: dict[str, Json] = {
                "messages": [stored_form(message) for message in messages_from(run.given)],
                "messageId": run.transcript.message_id,
                "options": _stored(self._agent_id, run.options),
            }
            made = await self.workflow.create_run(run.run_id, resource_id=run.resource_id)
            status = await made.status() if "run_id" in run.options else "pending"
            is_known = status != "pending"
            # A message has an id and a time of its own each time it is said: what a known run was
            # begun with is not compared.
            events = made.stream(None if is_known else given, request_context=run.request_context)
            async with events:
                return Reading(made, events, is_silent=is_known and status not in _ACTIVE)

        return follow(run, self._agent_id, begin)

    async def resume(self, run: AgentRun, resume: Resume) -> LoopSteps:
        """Move on the readers' view of a run that waits; a part of somebody else's is driven by them."""
        try:
            is_part = await self._is_part(run.run_id)
        except BaseException as error:
            is_part = False  # what is wrong is told where the run is looked for
            if not isinstance(error, StorageError) and run.switch.reason is None:
                raise
        if is_part:
            run.wait.resume = resume
        steps = run_agent(run) if is_part else self._resume(run, resume)
        async with aclosing(steps):
            step = steps.asend(None)
            while True:
                try:
                    await step
                except StopAsyncIteration:
                    return
                try:
                    batch = yield
                except Exception as error:  # noqa: BLE001 - of what was read; the steps know what it means
                    step = steps.athrow(error)
                else:
                    step = steps.asend(batch)

    def _resume(self, run: AgentRun, resume: Resume) -> LoopSteps:
        run.transcript.message_id = message_id_of(run.run_id)

        async def begin() -> Reading:
            known = set(run.options) - _LIVE - _OF_RESUME
            if known:
                raise ConfigError(
                    f"Durable agent {self._agent_id!r} goes on with the options that its run was "
                    f"started with: resume it without {', '.join(map(repr, sorted(known)))}.",
                    code=OPTION_REFUSED,
                )
            store = self.workflow.runtime.store
            head = await self._head(run.run_id)
            if head is None:
                raise not_waiting(self._agent_id, run.run_id)
            check_caller(run.run_id, head.resource_id, run.request_context.get(RESOURCE_ID))
            if head.status != "suspended":
                raise not_waiting(self._agent_id, run.run_id)
            made = await self.workflow.create_run(run.run_id)
            stored = await load_run(store, self.workflow.id, run.run_id)
            run.chunks.first_seq = 0 if stored is None else streamed_of(stored)
            answer = {"data": resume.data, "approved": resume.approved, "reason": resume.reason}
            if resume.args is not None:
                answer["args"] = resume.args
            told = run.options.get("client_results")
            results_by_call(told)  # what is wrong with them is said before the run goes on
            if told:
                answer["told"] = to_jsonable(told, what="client_results")
            events = made.resume_stream(
                answer, label=resume.tool_call_id, request_context=run.request_context
            )
            try:
                async with events:
                    return Reading(made, events, answers=True, call_id=resume.tool_call_id)
            except RunStateError as error:
                if error.code == "RESUME_TARGET_NOT_FOUND":
                    raise
                raise not_waiting(self._agent_id, run.run_id) from error

        return follow(run, self._agent_id, begin)

    def observe(self, run: AgentRun, offset: int) -> LoopSteps:
        """Return what shows readers a run from a chunk on, whoever drives it."""
        run.chunks.first_seq = offset

        async def begin() -> Reading:
            head = await self.find(run.run_id, run.request_context.get(RESOURCE_ID))
            is_own, runtime = head.workflow_id == self.workflow.id, self.workflow.runtime
            runs = self if is_own else self.of_plain(self._agent, runtime.store, runtime.services)
            made = await runs.workflow.create_run(run.run_id)
            return Reading(made, made.observe_stream(), skips=offset)

        return follow(run, self._agent_id, begin, is_alone=False)

    async def find(self, run_id: str, caller: str | None = None) -> RunHead:
        """Return what is stored of a run, for a caller who may see it.

        Raises:
            RunNotFoundError: There is none under that id.
            AccessDeniedError: The caller is tied to a resource, and it is not of it.
        """
        head = await self._head(run_id) or await self._parts.head(run_id)
        if head is None:
            raise RunNotFoundError(
                f"Agent {self._agent_id!r} has no stored run {run_id!r}.",
                details={"run_id": run_id},
            )
        check_caller(run_id, head.resource_id, caller)
        return head

    async def _head(self, run_id: str) -> RunHead | None:
        return await self.workflow.runtime.store.get_run(self.workflow.id, run_id)

    async def _is_part(self, run_id: str) -> bool:
        """Return whether a run is a part of somebody else's."""
        return await self._head(run_id) is None and await self._parts.head(run_id) is not None

    async def list_suspended(self, wanted: Wanted) -> SuspendedRuns:
        """Return the runs that wait, the latest first; of one that cannot be read what can be."""
        places = [self.workflow.id, self._parts.workflow_id]
        store = self.workflow.runtime.store
        found = await store.list_waiting(places, self._agent_id, **wanted)
        read = [await self._read(head) for head in found.runs]
        return SuspendedRuns([run for run in read if run is not None], found.total)

    async def _read(self, head: RunHead) -> SuspendedRun | None:
        """Return a run that waits; `None` where it has gone meanwhile."""
        if head.workflow_id != self.workflow.id:
            return run_from_head(head)
        info = await self.workflow.get_run(head.run_id)
        return None if info is None else self._suspended(info)

    async def suspended(self, run_id: str) -> SuspendedRun | None:
        """Return a run that waits, `None` where there is none."""
        info = await self.workflow.get_run(run_id)
        if info is None:
            return await self._parts.suspended(run_id)
        return self._suspended(info) if info.status == "suspended" else None

    def _suspended(self, info: RunInfo) -> SuspendedRun:
        updated_at = int(info.updated_at.timestamp() * 1000)
        if info.error is not None and is_unreadable(info.error):
            error = error_to_json(info.error)
            resource_id = info.resource_id
            return SuspendedRun(
                info.run_id, self._agent_id, updated_at, [], None, resource_id, error
            )
        try:
            return self._waiting(info, updated_at)
        except UNREADABLE as error:
            return unreadable_run(info.run_id, self._agent_id, error, created_at=updated_at)

    def _waiting(self, info: RunInfo, updated_at: int) -> SuspendedRun:
        waits = [cast("dict[str, Any]", payload) for payload in info.suspend_payloads]
        given = cast("dict[str, Any]", info.input)
        memory: Mapping[str, Any] = given["options"].get("memory") or {}
        thread: Any = memory.get("thread")
        thread_id: str | None = thread if isinstance(thread, (str, NoneType)) else thread["id"]
        return SuspendedRun(
            info.run_id,
            self._agent_id,
            updated_at,
            [WaitingCall(**payload["toolCall"]) for payload in waits],
            thread_id,
            info.resource_id,
        )


def _stored(agent_id: str, options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a call as JSON data.

    Raises:
        ConfigError: One of them cannot be kept beyond this process.
    """
    stored: dict[str, Json] = {}
    for key, value in options.items():
        if key in _LIVE:
            continue
        try:
            stored[key] = _plain(key, value)
        except SerializationError as error:
            raise ConfigError(
                f"Agent {agent_id!r} is durable, so what a call is told is stored: {error.message} "
                f"Put {key!r} into the agent's default_options, which whoever goes on with the run "
                "has, too.",
                code=OPTION_REFUSED,
            ) from error
    return stored


def _plain(key: str, value: Any) -> Json:
    if key not in _STORED:
        raise SerializationError(f"{key!r} is not among the options that can be.")
    if key in _MESSAGES:
        found = messages_from(value) if key == "context" else system_messages(value)
        return [stored_form(message) for message in found]
    if key == "client_tools":
        return described(value)
    if isinstance(value, UsageLimits):
        return value.to_json()
    if isinstance(value, ModelSettings):
        known = {name: item for name, item in dataclasses.asdict(value).items() if item is not None}
        if value.timeout is not None:
            known["timeout"] = {k: v for k, v in known["timeout"].items() if v is not None}
        value = known
    return to_jsonable(value, what=f"Option {key!r}")


class _AgentAlone(DurableAgent):
    """The operations of a run whose messages and options are its input."""

    def _asked_for(self, value: Any, ctx: StepContext[Any]) -> tuple[Any, Mapping[str, Any]]:
        options = dict(value["options"])
        for key in _MESSAGES & options.keys():
            options[key] = [message_from_record(message) for message in options[key]]
        if "client_tools" in options:
            options["client_tools"] = from_description(options["client_tools"])
        messages = [message_from_record(message) for message in value["messages"]]
        return messages, {**options, "run_id": ctx.run_id}

    def run_id(self, run_id: str, block: StepRecord) -> str:
        del block  # there is no other agent in the run
        return run_id

    def _answer(self, data: Any) -> dict[str, Any]:
        return dict(data)

    def _output(self, result: AgentResult[Any]) -> Any:
        return {
            "text": result.text,
            "finishReason": result.finish_reason,
            "usage": result.usage.to_wire(),
            "object": plain(result.object),
            **({"usedFallback": True} if result.used_fallback_value else {}),
        }
