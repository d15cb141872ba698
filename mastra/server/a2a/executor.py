"""What an agent does for a task: answer, ask for something, or go on with an answer to that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events.event_queue import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types.a2a_pb2 import Message as TaskMessage
from a2a.types.a2a_pb2 import Part, Task, TaskState, TaskStatus
from jsonschema import Draft202012Validator
from starlette.requests import Request

from mastra.a2a.parts import data_in, data_part, own_parts, text_in
from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import error_to_wire
from mastra.agents.lookup import find_suspended
from mastra.agents.waiting.suspended import SuspendedRun, WaitingCall
from mastra.errors import MastraError
from mastra.jsonable import Json
from mastra.models.messages import Message
from mastra.server.a2a.own_errors import own_errors
from mastra.server.caller_options import call_options
from mastra.server.context import Server, load_strict
from mastra.server.errors import Refusal, message_of
from mastra.server.payloads import AgentAnswerBody, AgentBody

__all__ = ["REQUEST", "AgentTasks"]

REQUEST: Final = "request"
"""Where a call's context has the HTTP request."""
_ANSWER: Final = "answer"
_BATCH: Final = 64


class AgentTasks(AgentExecutor):
    """Runs the tasks of one agent."""

    def __init__(self, server: Server, agent: Agent) -> None:
        self._server = server
        self._agent = agent

    @own_errors
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Do what a message asks for, and tell of it."""
        task = _Telling(context, event_queue)
        await task.begin()
        try:
            stream = await self._stream(context, task)
            if stream is not None:
                await task.follow(stream)
                await self._conclude(stream, context, task)
        except (Refusal, MastraError) as error:
            await task.updater.failed(task.said(message_of(error)))

    @own_errors
    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Stop a task: an answer under way has been stopped, a run that waits is cancelled."""
        run_id = _run_id(context)
        if run_id is not None:
            run = await self._agent.stored_runs.create_run(run_id)
            await run.cancel()
        await _Telling(context, event_queue).updater.cancel()

    # -- asking --------------------------------------------------------------------------------

    async def _stream(self, context: RequestContext, task: _Telling) -> AgentStream[Any] | None:
        """Return what the agent streams; `None` where it still waits."""
        message = cast("TaskMessage", context.message)
        run_id = _run_id(context)
        if run_id is None:
            return await self._asked(context, message)
        owner = context.call_context.state.get("owner")
        run = await find_suspended(self._agent, run_id, owner)
        if run is None:
            raise Refusal(409, "The task no longer waits: its run was answered, or stopped.")
        return await self._answered(run, message, context, task)

    async def _asked(self, context: RequestContext, message: TaskMessage) -> AgentStream[Any]:
        said = Message("user", own_parts(message.parts))
        memory: dict[str, Any] | None = None
        if self._agent.spec.memory is not None:
            # Where callers are not known, a conversation is its own.
            thread = _context_id(context)
            owner = context.call_context.state.get("owner") or thread
            memory = {"thread": thread, "resource": owner}
        body = AgentBody(messages=[], memory=memory)
        request = _request(context)
        options = await call_options(self._server, request, self._agent, body)
        return self._agent.stream([said], **options)

    async def _answered(
        self, run: SuspendedRun, message: TaskMessage, context: RequestContext, task: _Telling
    ) -> AgentStream[Any] | None:
        agent, data, text = self._agent, data_in(message.parts), text_in(message.parts)
        known: Mapping[str, Any] = cast("Any", data) if isinstance(data, Mapping) else {}
        call = _call_of(run, known)
        if call is None:
            await task.ask(run, "No such call waits. ")
            return None
        body = AgentAnswerBody(run_id=run.run_id)
        options = await call_options(self._server, _request(context), agent, body)
        place = run.run_id, call.tool_call_id
        if call.kind == "approval":
            approved = known.get("approved")
            if not isinstance(approved, bool):
                await task.ask(run, 'Answer with data: {"approved": true} or false. ')
                return None
            if approved:
                return agent.approve_tool_call(*place, **options)
            reason: Any = known.get("reason")
            return agent.decline_tool_call(
                *place, reason=reason if isinstance(reason, str) else None, **options
            )
        fits, answer = _fitting(call, data, text)
        if not fits:
            await task.ask(run, "The answer does not fit what is asked for. ")
            return None
        return agent.resume_stream(
            answer, run_id=run.run_id, tool_call_id=call.tool_call_id, **options
        )

    async def _conclude(
        self, stream: AgentStream[Any], context: RequestContext, task: _Telling
    ) -> None:
        """Say how it has ended, or what it waits for."""
        if task.failure is not None:
            await task.updater.failed(task.said(task.failure))
        elif stream.status == "suspended":
            owner = context.call_context.state.get("owner")
            run = await find_suspended(self._agent, stream.run_id, owner)
            if run is None:
                raise Refusal(409, "The run waited, and was answered elsewhere.")
            await task.ask(run)
        elif stream.status == "tripwire":
            await task.updater.reject(task.said("The agent does not answer this."))
        else:
            found = await stream.object()
            if found is not None:
                wire: Any = found.model_dump(mode="json") if hasattr(found, "model_dump") else found
                await task.updater.add_artifact([data_part(wire)], "object", "object")
            await task.updater.complete()


class _Telling:
    """Tells whoever reads a task what comes of it."""

    def __init__(self, context: RequestContext, queue: EventQueue) -> None:
        self._context = context
        self._queue = queue
        self.updater = TaskUpdater(queue, cast("str", context.task_id), _context_id(context))
        self.failure: str | None = None
        # Each run of the task has a text of its own.
        task = context.current_task
        past = () if task is None else [a for a in task.artifacts if a.name == _ANSWER]
        self._name = f"{_ANSWER}-{len(past)}"
        self._has_text = False

    async def begin(self) -> None:
        """Tell of a new task, or that a known one goes on."""
        context = self._context
        if context.current_task is None:
            message = cast("TaskMessage", context.message)
            await self._queue.enqueue_event(
                Task(
                    id=cast("str", context.task_id),
                    context_id=_context_id(context),
                    status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED),
                    history=[message],
                )
            )
        await self.updater.start_work()

    async def follow(self, stream: AgentStream[Any]) -> None:
        """Tell what the agent says, as it says it."""
        try:
            async with aclosing(stream.batches(_BATCH)) as batches:
                async for batch in batches:
                    await self._tell(batch)
        finally:
            await stream.aclose()

    async def _tell(self, batch: Any) -> None:
        text = "".join(chunk.payload.text for chunk in batch if chunk.type == "text-delta")
        if text:
            part = Part(text=text)
            await self.updater.add_artifact([part], self._name, _ANSWER, append=self._has_text)
            self._has_text = True
        for chunk in batch:
            if chunk.type == "error":
                self.failure = str(error_to_wire(chunk.payload.error).get("message"))

    async def ask(self, run: SuspendedRun, before: str = "") -> None:
        """Say what the task waits for."""
        calls: list[Json] = [call.to_wire() for call in run.tool_calls]
        text = before + _question(run.tool_calls[0])
        parts = [Part(text=text), data_part({"runId": run.run_id, "toolCalls": calls})]
        await self.updater.requires_input(self.updater.new_agent_message(parts))

    def said(self, text: str) -> TaskMessage:
        """Return words of the agent's about the task."""
        return self.updater.new_agent_message([Part(text=text)])


def _question(call: WaitingCall) -> str:
    if call.kind == "approval":
        return f"May {call.tool_name} be called with {json.dumps(call.args)}?"
    payload: Any = call.suspend_payload
    said: Any = (
        cast("Mapping[str, Any]", payload).get("message")
        if isinstance(payload, Mapping)
        else payload
    )
    return said if isinstance(said, str) else f"{call.tool_name} waits for an answer."


def _request(context: RequestContext) -> Request:
    return cast("Request", context.call_context.state[REQUEST])


def _context_id(context: RequestContext) -> str:
    """Return the task's own context: a message that names its task alone is given another."""
    task = context.current_task
    return cast("str", context.context_id) if task is None else task.context_id


def _run_id(context: RequestContext) -> str | None:
    """Return the run that a task waits with."""
    task = context.current_task
    if task is None or task.status.state != TaskState.TASK_STATE_INPUT_REQUIRED:
        return None
    data: Any = data_in(task.status.message.parts)
    return cast("str", data["runId"]) if isinstance(data, Mapping) and "runId" in data else None


def _call_of(run: SuspendedRun, data: Mapping[str, Any]) -> WaitingCall | None:
    """Return which call is answered: the one that is named, else the first."""
    named = data.get("toolCallId") or run.tool_calls[0].tool_call_id
    return next((call for call in run.tool_calls if call.tool_call_id == named), None)


def _fitting(call: WaitingCall, data: Any, text: str) -> tuple[bool, Any]:
    """Return whether an answer is of the form that is asked for, and the answer."""
    answer: Any = text if data is None else data
    if isinstance(data, Mapping) and "toolCallId" in data:
        known = cast("Mapping[str, Any]", data)
        answer = known.get("resumeData")
    if call.resume_schema is None:
        return True, answer
    schema: Any = load_strict(call.resume_schema)
    validator: Any = Draft202012Validator(schema)
    return validator.is_valid(answer), answer
