"""Runs the tool calls of one turn: at once, as soon as each is complete, results in order.

A tool that raises, bad input and an unknown tool are outcomes like any other: the model is told
and may do better.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from mastra.agents.calls.approvals import asks_of_call
from mastra.agents.chunks import ToolOutputPayload
from mastra.agents.options import ToolApproval, ToolCallHooks, concurrency_of
from mastra.agents.records.meter import count_within
from mastra.agents.records.requested_call import (
    Denied,
    Done,
    Elsewhere,
    NeedsApproval,
    Outcome,
    Raised,
    RequestedCall,
    Suspended,
)
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.tracing import traced_tool
from mastra.cancellation import CodeTask, begin_code
from mastra.errors import ToolNotFoundError, ValidationError
from mastra.failures import Guard, call_user, text_of
from mastra.jsonable import Json, dump_json, to_jsonable
from mastra.logs import get_logger
from mastra.models.messages import DataPart
from mastra.schema import Schema, SchemaMismatch
from mastra.stream.writer import DONE, custom_type
from mastra.threads import HomeLoop
from mastra.tools.approval import asks_approval
from mastra.tools.content import content_to_json
from mastra.tools.execute import error_result, is_error_result
from mastra.tools.tool import Tool
from mastra.tools.tool_context import AgentCall, ToolContext, ToolSuspend

__all__ = [
    "CallRunner",
    "Resumption",
    "ToolWriter",
]


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a call is resumed with."""

    approved: bool | None = None
    """A person's answer, where one was asked for."""
    reason: str | None = None
    """Why not."""
    args: Json = None
    """With what it is called, where that is not what the model said."""
    data: Any = None
    """What the tool waits for."""
    suspend_payload: Any = None
    """What it suspended with."""


class ToolWriter:
    """Sends what a tool writes to the readers of the agent's stream, at once."""

    __slots__ = ("_call", "_home", "_run")

    def __init__(self, run: AgentRun, call: RequestedCall) -> None:
        self._run = run
        self._call = call
        self._home = HomeLoop()

    def write(self, value: Any) -> Awaitable[None]:
        """Send a value as a `tool-output` chunk. Never waits for a reader."""
        call = self._call
        payload = ToolOutputPayload(value, call.id, call.name)
        self._home.call(self._emit, "tool-output", payload)
        return DONE

    def custom(self, chunk: Mapping[str, Any]) -> Awaitable[None]:
        """Send a chunk of your own, `{"type": "data-<name>", "data": …}`, as it is.

        It is stored with the conversation, unless it is `transient`.

        Raises:
            ValidationError: The type does not begin with `data-`, or there is no `data`.
        """
        kind = custom_type(chunk, f"Tool {self._call.name!r}")
        payload = {key: value for key, value in chunk.items() if key != "type"}
        self._home.call(self._emit, kind, payload, self._call.written)
        return DONE

    def _emit(self, kind: str, payload: Any, written: list[DataPart] | None = None) -> None:
        self._run.emit(kind, payload, "USER", written)
        self._run.notify()


class CallRunner:
    """The calls of one step. Each runs as a task, which the step's end waits for."""

    def __init__(self, run: AgentRun, tools: Mapping[str, Tool[Any, Any]]) -> None:
        self._run = run
        self.tools = tools
        self._asks = run.options.get("require_tool_approval")
        self._hooks: ToolCallHooks = {**run.spec.hooks, **(run.options.get("hooks") or {})}
        self._limit, strategy = concurrency_of(run.options)
        self._only_called = strategy == "called"
        if not self._only_called and any(map(self._may_wait, tools)):
            self._limit = 1
        self._slots = asyncio.Semaphore(self._limit)
        self._alone = asyncio.Lock()
        self.tasks: dict[str, asyncio.Future[Outcome]] = {}
        self.resumptions: dict[str, Resumption] = {}

    def _may_wait(self, tool_name: str) -> bool:
        """Return whether a tool may wait for a person."""
        tool = self.tools.get(tool_name)
        return bool(self._asks) or (
            tool is not None and bool(tool.require_approval or tool.can_suspend)
        )

    def at_once(self, calls: Sequence[RequestedCall]) -> int:
        """Return how many of these calls run at once."""
        return 1 if any(self._may_wait(call.name) for call in calls) else self._limit

    def start(self, call: RequestedCall) -> None:
        """Run a call, in the background, as soon as there is a free place."""
        run = self._run
        context = contextvars.copy_context()
        count_within(context, run.meter)
        context.run(begin_code)
        task = CodeTask(self._outcome(call), context=context)
        task.add_done_callback(lambda _: run.notify())
        self.tasks[call.id] = task

    def know(self, call_id: str, outcome: Outcome) -> None:
        """Take what has come of a call elsewhere."""
        future = self.tasks[call_id] = asyncio.get_running_loop().create_future()
        future.set_result(outcome)

    def runs_elsewhere(self, tool_name: str) -> bool:
        """Return whether whoever asked runs a tool."""
        tool = self.tools.get(tool_name)
        return tool is not None and tool.call is None

    def resume_schema(self, tool_name: str) -> str | None:
        """Return the JSON Schema of what a tool is resumed with, as text."""
        schema = self.schema_of_resume(tool_name)
        return None if schema is None else dump_json(schema.json_schema()).decode()

    def schema_of_resume(self, tool_name: str) -> Schema[Any] | None:
        """Return what a tool is resumed with."""
        tool = self.tools.get(tool_name)
        return None if tool is None else tool.resume_schema

    @property
    def is_busy(self) -> bool:
        """Whether a call is running."""
        return any(not task.done() for task in self.tasks.values())

    async def aclose(self) -> None:
        """Stop what is still running."""
        left = [task for task in self.tasks.values() if not task.done()]
        for task in left:
            if isinstance(task, CodeTask):
                task.end()
        if left:
            await asyncio.wait(left)
        for task in self.tasks.values():
            if not task.cancelled():
                # Looked at, so that asyncio does not report it as lost.
                task.exception()

    async def _outcome(self, call: RequestedCall) -> Outcome:
        guard = Guard()
        try:
            if self._only_called and self._may_wait(call.name):
                async with self._alone, self._slots:
                    return await self._run_call(call)
            async with self._slots:
                return await self._run_call(call)
        except BaseException as raised:  # noqa: BLE001 - a tool may raise anything; the model is told
            waits = _suspension_in(raised)
            if waits is not None:
                return Suspended(waits.payload)
            error = guard.contain(raised)
            get_logger({"tool": call.name, "run": self._run.run_id}).debug(
                "Tool %r raised %s", call.name, text_of(error)
            )
            return Raised(error)

    async def _run_call(self, call: RequestedCall) -> Outcome:
        tool = self.tools.get(call.name)
        if tool is None:
            listed = ", ".join(sorted(self.tools)) or "none"
            raise ToolNotFoundError(
                f"Tool {call.name!r} not found. Available tools: {listed}.",
                details={"tool": call.name},
            )
        resumption = self.resumptions.get(call.id)
        if resumption is not None and resumption.args is not None:
            call.args, call.is_json = resumption.args, True
        if resumption is not None and resumption.approved is False:
            return Denied(resumption.reason or "Tool call was not approved by the user")
        if tool.call is None:
            return Elsewhere()
        if resumption is None and await self._needs_approval(tool, call):
            return NeedsApproval()
        if self._run.wait.held is not None:
            await self._run.wait.held.confirm()
        if not call.is_json:
            mismatch = SchemaMismatch([{"path": [], "message": "the arguments are not JSON"}])
            return Done(error_result(tool.id, mismatch, call.args), is_error=True)
        if self._run.span is None:
            return await self._execute(tool, call, resumption)
        return await traced_tool(
            self._run, call, tool, lambda: self._execute(tool, call, resumption)
        )

    async def _execute(
        self, tool: Tool[Any, Any], call: RequestedCall, resumption: Resumption | None
    ) -> Outcome:
        run = self._run
        before, after = self._hooks.get("before_tool_call"), self._hooks.get("after_tool_call")
        answer: Any = await call_user(before, call) if before is not None else None
        decision = cast("Mapping[str, Any]", answer if isinstance(answer, Mapping) else {})
        if decision.get("proceed") is False:
            given = decision.get("output")
            return Done(to_jsonable(given, what=f"The output of the hook before {call.name!r}"))
        waits: list[ToolSuspend] = []
        context = self._context(tool, call, resumption, waits)
        guard = Guard()
        try:
            result = await tool.execute(call.args, context)
        except BaseException as raised:  # noqa: BLE001 - as above
            error = guard.contain(raised)
            if after is not None:
                await call_user(after, call, error)
            raise error from error.__cause__
        if waits:
            raise waits[0]
        dumped = tool.dump(result)
        if run.pipeline is not None:
            dumped = await run.pipeline.tool_result(call, dumped)
        outcome = Done(dumped, is_error_result(result))
        if tool.to_model_output is not None and not outcome.is_error:
            shown = await call_user(tool.to_model_output, result)
            parts = content_to_json(shown)
            outcome = Done(outcome.result, model_output=shown if parts is None else parts)
        if after is not None:
            await call_user(after, call, outcome.result)
        return outcome

    def _context(
        self,
        tool: Tool[Any, Any],
        call: RequestedCall,
        resumption: Resumption | None,
        waits: list[ToolSuspend],
    ) -> ToolContext:
        run = self._run

        def suspend(payload: Any, _label: Any = None) -> NoReturn:
            if tool.suspend_schema is not None:
                try:
                    payload = tool.suspend_schema.dump(tool.suspend_schema.load(payload))
                except SchemaMismatch as mismatch:
                    raise mismatch.into(
                        ValidationError, f"What tool {call.name!r} suspended with"
                    ) from None
            # Noted, for a tool that catches everything and would go on as if nobody was asked.
            waits.append(ToolSuspend(payload))
            raise waits[-1]

        return ToolContext(
            mastra=run.services,
            request_context=run.request_context,
            abort_signal=run.switch.signal,
            writer=ToolWriter(run, call),
            resume_data=None if resumption is None else resumption.data,
            suspend_data=None if resumption is None else resumption.suspend_payload,
            is_approved=True,  # asked before a call gets here
            agent=AgentCall(
                run.spec.id,
                call.id,
                run.transcript.messages,
                run.thread_id,
                run.resource_id,
                run.run_id,
            ),
            suspender=suspend,
        )

    async def _needs_approval(self, tool: Tool[Any, Any], call: RequestedCall) -> bool:
        run = self._run
        # A tool's own function knows best; a plain yes or no of it can only add to the call's.
        if callable(tool.require_approval):
            value, problem = tool.load_input(call.args)
            # Input that is not valid never reaches the tool, so there is nothing to ask.
            return problem is None and await asks_approval(tool, value, run.context)
        if tool.require_approval:
            return True
        asked = ToolApproval(call.name, call.args, run.request_context)
        return await asks_of_call(self._asks, asked)


def _suspension_in(error: BaseException) -> ToolSuspend | None:
    """Return the signal of a tool that suspends in a task group of its own."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        found = (_suspension_in(member) for member in group.exceptions)
        return next((signal for signal in found if signal is not None), None)
    return error if isinstance(error, ToolSuspend) else None
