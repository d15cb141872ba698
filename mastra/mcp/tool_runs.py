"""Runs tools of MCP servers, through questions, suspensions and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from mastra.errors import ToolError
from mastra.mcp.calls import (
    ELICITATION_KEY,
    HeldCall,
    Question,
    ask_in_run,
    call_once,
    elicited,
)
from mastra.mcp.content import result_of
from mastra.mcp.failures import fate_of, request_failed
from mastra.tools.tool_context import ToolContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mastra.mcp.connection import Connection
    from mastra.mcp.requests import ServerRequests

__all__ = ["ToolRuns"]

_TURNS: Final = 10


class _Ask(Protocol):
    async def __call__(
        self,
        server: str,
        what: str,
        request: Callable[[Connection], Awaitable[Any]],
        *,
        may_repeat: bool = True,
    ) -> Any: ...


class ToolRuns:
    """The tool calls of a client, and those among them that wait for a person."""

    def __init__(
        self, ask: _Ask, requests: ServerRequests, *, timeout_s: float, answer_s: float
    ) -> None:
        self._ask = ask
        self._requests = requests
        self._timeout_s = timeout_s
        self._answer_s = answer_s
        self._held: dict[str, tuple[HeldCall, asyncio.TimerHandle]] = {}

    async def run(self, server: str, tool: str, given: dict[str, Any], ctx: ToolContext) -> Any:
        """Call a tool, or go on with a call that was suspended.

        Raises:
            ToolError: It failed, or cannot be reached.
            ToolSuspend: The server asks something.
        """
        state = _state_of(ctx)
        if state is None:
            return await self._call(server, tool, given, ctx, {}, None)
        asked: Mapping[str, Any] = ctx.suspend_data
        answer = elicited(ctx.resume_data, asked.get("requestedSchema"))
        if "call" in state:
            return await self._go_on(server, tool, ctx, state, answer)
        said = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        answers = {**state.get("answers", {}), state["key"]: said}
        questions: list[Any] = list(state.get("left", []))
        self._suspend_for(questions, answers, state.get("requestState"), server, tool, ctx)
        return await self._call(server, tool, given, ctx, answers, state.get("requestState"))

    async def _call(
        self,
        server: str,
        tool: str,
        given: dict[str, Any],
        ctx: ToolContext,
        answers: Mapping[str, Any],
        request_state: str | None,
    ) -> Any:
        for turn in range(_TURNS):
            seeds: dict[str, Any] = {}
            if answers or request_state is not None:
                seeds = {"input_responses": _typed(answers), "request_state": request_state}

            send = self._sender(tool, given, ctx, seeds)
            result = await self._ask(server, f"tool {tool!r}", send, may_repeat=False)
            requests: Mapping[str, Any] | None = getattr(result, "input_requests", None)
            if getattr(result, "result_type", None) != "input_required":
                return result_of(server, tool, result)
            request_state = result.request_state
            if not requests:
                # The server only wants to be asked again.
                await asyncio.sleep(min(0.05 * 2**turn, 0.25))
            answers, questions = await self._requests.answered(server, requests or {})
            self._suspend_for(questions, answers, request_state, server, tool, ctx)
        raise ToolError(
            f"Tool {tool!r} of MCP server {server!r} asked {_TURNS} times for something more.",
            details={"server": server, "tool": tool},
        )

    def _sender(
        self, tool: str, given: dict[str, Any], ctx: ToolContext, seeds: Mapping[str, Any]
    ) -> Callable[[Connection], Awaitable[Any]]:
        async def send(connection: Connection) -> Any:
            held = HeldCall(connection, tool, ctx)
            held.start(call_once(connection.client, tool, given, held, **seeds))
            return await self._outcome(held)

        return send

    async def _go_on(
        self,
        server: str,
        tool: str,
        ctx: ToolContext,
        state: Mapping[str, Any],
        answer: Any,
    ) -> Any:
        found = self._held.pop(cast("str", state["call"]), None)
        if found is not None:
            found[1].cancel()
        held = None if found is None else found[0]
        if held is None or not _is_here(held):
            raise ToolError(
                f"The question of tool {tool!r} of MCP server {server!r} can no longer be "
                "answered: the connection that it was asked over has ended, its time was up, or "
                "it was asked in another process. Call the tool again.",
                code="MCP_QUESTION_GONE",
                details={"server": server, "tool": tool},
            )
        held.answer(answer, state["question"], ctx)
        try:
            result = await self._outcome(held)
        except ToolError:
            raise
        except Exception as error:  # the SDK's own, of many kinds
            raise request_failed(server, f"tool {tool!r}", error, fate_of(error)) from error
        return result_of(server, tool, result)

    async def _outcome(self, held: HeldCall) -> Any:
        """Return what the server answers; suspend the run where it asks."""
        server = held.connection.name
        try:
            question = await held.next(self._timeout_s)
        except TimeoutError:
            raise ToolError(
                f"MCP server {server!r} did not answer tool {held.tool!r} within "
                f"{self._timeout_s:g} s; the call was stopped.",
                code="MCP_TIMEOUT",
                details={"server": server, "tool": held.tool},
            ) from None
        if question is None:
            return cast("asyncio.Task[Any]", held.task).result()
        self._hold(held)
        try:
            ask_in_run(held.ctx, question, {"call": held.id, "question": held.asked})
        except Exception:
            self._let_go(held.id)
            await held.stop()
            raise
        raise AssertionError("suspend never returns")  # pragma: no cover

    def _hold(self, held: HeldCall) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._answer_s, self._let_go, held.id)
        self._held[held.id] = held, timer

    def _let_go(self, call_id: str) -> None:
        # Whoever takes one out ends its timer, so it is there.
        held, timer = self._held.pop(call_id)
        timer.cancel()
        cast("asyncio.Task[Any]", held.task).cancel()

    def _suspend_for(
        self,
        questions: list[Any],
        answers: Mapping[str, Any],
        request_state: str | None,
        server: str,
        tool: str,
        ctx: ToolContext,
    ) -> None:
        """Suspend for the first of some questions, if there are any."""
        if not questions:
            return
        first: dict[str, Any] = questions[0]
        question = Question(
            server, first["message"], first.get("requestedSchema"), first.get("url"), tool
        )
        ask_in_run(
            ctx,
            question,
            {
                "key": first["key"],
                "answers": dict(answers),
                "left": questions[1:],
                "requestState": request_state,
            },
        )

    def let_go(self) -> None:
        """Stop the calls that wait for an answer."""
        for call_id in list(self._held):
            self._let_go(call_id)


def _state_of(ctx: ToolContext) -> Mapping[str, Any] | None:
    waited: Any = ctx.suspend_data
    if not isinstance(waited, Mapping):
        return None
    state: Any = cast("Mapping[str, Any]", waited).get(ELICITATION_KEY)
    return cast("Mapping[str, Any]", state) if isinstance(state, Mapping) else None


def _is_here(held: HeldCall) -> bool:
    task = cast("asyncio.Task[Any]", held.task)
    return not task.cancelled() and task.get_loop() is asyncio.get_running_loop()


def _typed(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return answers that were kept as JSON as the SDK's own types."""
    from mcp_types import InputResponseRequestParams  # noqa: PLC0415 - an optional package

    found = InputResponseRequestParams.model_validate({"inputResponses": dict(answers)})
    return dict(found.input_responses or {})
