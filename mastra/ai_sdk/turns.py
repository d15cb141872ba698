"""One turn of a chat: from what a page sends to the runs that answer it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.agents.options import PreparedStep, StepPreparation
from mastra.agents.remembering import UPDATE_TOOL
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chats import Chat, ChatNote
from mastra.ai_sdk.chunks import StreamOptions, framed
from mastra.ai_sdk.conversation import Conversation
from mastra.ai_sdk.page import (
    Approval,
    ChatBody,
    PageMessage,
    answered_approvals,
    asked_again,
    calls_of,
    model_messages,
    page_messages,
    results_of_page,
    tool_message,
)
from mastra.ai_sdk.ui_stream import DONE, usage_of
from mastra.errors import MastraError, ResumeClaimedError, RunClaimedError, RunNotFoundError
from mastra.failures import call_user
from mastra.ids import new_id
from mastra.server.caller_options import call_options
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.hanging_up import unless_gone
from mastra.server.payloads import AgentAnswerBody
from mastra.stream.abort import AbortController

__all__ = ["Turn", "client_tools", "turn_of"]

_BATCH: Final = 64
_BEGIN_S: Final = 5.0
"""How long an answer may say nothing before its stream is opened all the same. What is wrong with
a call is known before, and answered with a status."""

_TAKEN = (
    "Nothing waits for this answer: it was given already, or the run has ended. Nothing was run."
)
_GONE = (ResumeClaimedError, RunClaimedError, RunNotFoundError)

Leg = Callable[[], AgentStream[Any]]
"""Begins a run, or goes on with one."""


@dataclass(slots=True)
class Turn:
    """What answers a page: one run of the agent, or several answers to one that waits."""

    server: Server
    options: StreamOptions
    legs: list[Leg]
    """In order; each but the first goes on with a run that still waits after the one before."""
    stack: ExitStack
    controller: AbortController
    stream: AgentStream[Any] | None = None
    kept: Callable[[], Awaitable[None]] | None = None
    """Stores, in the end, what the page's own tools gave in a step that waited."""

    async def begin(self, request: Request) -> None:
        """Begin, so that what is wrong with the call is told by a status.

        Raises:
            Refusal: The client is gone, or somebody else has answered what waits.
        """
        try:
            self.stream = self.legs[0]()
            await unless_gone(request, _begun(self.stream))
        except BaseException as error:
            await self._close()
            if isinstance(error, _GONE):
                raise Refusal(409, _TAKEN) from error
            raise

    async def _close(self) -> None:
        self.stack.close()
        if self.stream is not None:
            await self.stream.aclose()
            kept, self.kept = self.kept, None
            if kept is not None and self.stream.status != "suspended":
                await kept()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the answer as server-sent events. When the reader goes, the model stops."""
        translator, turns = AgentTranslator(self.options), self.server.turns
        self.stack.enter_context(turns.among())
        try:
            for place, leg in enumerate(self.legs):
                if place:
                    self.stream = leg()
                async with aclosing(self._begun_stream.batches(_BATCH)) as batches:
                    async for batch in batches:
                        if turns.is_crowded:
                            await turns.next()
                        made = translator.frames(batch)
                        if made:
                            yield made
                await self._begun_stream.aclose()
                is_stopped = self.controller.signal.aborted
                if is_stopped or self._begun_stream.status != "suspended":
                    break
            stream = self._begun_stream
            ended = translator.end(stream.status, await usage_of(stream))
        except MastraError as error:
            ended = translator.fail(error)
        finally:
            await self._close()
        yield b"".join(map(framed, ended)) + DONE

    @property
    def _begun_stream(self) -> AgentStream[Any]:
        return cast("AgentStream[Any]", self.stream)


async def _begun(stream: AgentStream[Any]) -> None:
    async def first() -> None:
        await stream

    # It outlives this call where it takes long; the stream that it reads is closed in the end.
    task = asyncio.ensure_future(first())
    try:
        done, _ = await asyncio.wait({task}, timeout=_BEGIN_S)
    except BaseException:
        task.cancel()
        raise
    if done:
        task.result()
    else:
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def client_tools(
    server: Server, request: Request, agent: Agent, given: Mapping[str, Any] | None = None
) -> frozenset[str] | None:
    """Return the tools that the page runs, of an agent that asks for one call after the other.

    Others ask for all calls of a step together, so that nothing is ever taken back.
    """
    if not agent.spec.durable:
        return None
    tools = await agent.list_tools(server.request_context(request))
    return frozenset(name for name, tool in tools.items() if tool.call is None) | {*(given or ())}


async def turn_of(
    chat: Chat, request: Request, agent: Agent, body: ChatBody, options: StreamOptions
) -> Turn:
    """Return what answers a page.

    Args:
        chat: The page's chat.
        request: Who asks.
        agent: Who is asked.
        body: What the page sends.
        options: How the answer is shown.

    Raises:
        Refusal: It is nothing that can be answered, or not the caller's to say.
    """
    chat = chat if chat.id else replace(chat, id=new_id())
    messages = page_messages(body.messages)
    if body.trigger == "regenerate-message":
        messages = asked_again(messages)
    last = messages[-1] if messages else None
    going_on = last if last is not None and last["role"] == "assistant" else None
    shown = replace(
        options,
        message_id=None if going_on is None else going_on.get("id"),
        known_calls=None if last is None else set() if going_on is None else calls_of(going_on),
        client_tools=await client_tools(chat.server, request, agent, body.client_tools),
    )
    conversation = await Conversation.of(chat, request, agent, body)
    with ExitStack() as stack:
        controller = stack.enter_context(chat.stoppable())
        asking = _Asking(chat, request, agent, body, conversation, stack, controller)
        legs = await asking.legs(messages, going_on)
        return Turn(chat.server, shown, legs, stack.pop_all(), controller, kept=asking.kept)


@dataclass(slots=True)
class _Asking:
    chat: Chat
    request: Request
    agent: Agent
    body: ChatBody
    conversation: Conversation
    stack: ExitStack
    controller: AbortController
    kept: Callable[[], Awaitable[None]] | None = None

    async def legs(self, messages: list[PageMessage], going_on: PageMessage | None) -> list[Leg]:
        """Return what answers: approvals that wait, a tool that waits, or a new run."""
        body = self.body
        if body.run_id is not None and "resume_data" in body.model_fields_set:
            return [await self._resumed(body.run_id, going_on)]
        approvals = [] if going_on is None else answered_approvals(going_on)
        waiting = await self._waiting(approvals) if approvals else []
        if waiting and going_on is not None:
            return await self._approved(waiting, going_on)
        results: list[dict[str, Any]] = []
        if going_on is not None:
            results = results_of_page(going_on, await self._own_tools())
        if approvals and not results:
            raise Refusal(409, _TAKEN)
        return [await self._asked(messages, going_on, results)]

    # -- runs that wait ------------------------------------------------------------------------

    async def _waiting(self, approvals: list[Approval]) -> list[Approval]:
        """Return the answers to calls that wait for one, each as it is stored.

        Raises:
            Refusal: The page shows another call than the one that is stored.
        """
        found = await self.agent.list_suspended_runs(
            thread_id=self.conversation.thread_id, resource_id=self.chat.owner
        )
        stored = {
            (run.run_id, call.tool_call_id): call
            for run in found.runs
            for call in run.tool_calls
            if call.kind == "approval"
        }
        waiting: list[Approval] = []
        for approval in approvals:
            call = stored.get((approval.run_id, approval.call_id))
            if call is None or approval in waiting:
                continue
            if call.tool_name != approval.tool_name or not _is_same(call.args, approval.args):
                raise Refusal(
                    409, "The call was changed after its approval was asked for. Nothing was run."
                )
            waiting.append(approval)
        return waiting

    async def _approved(self, approvals: list[Approval], going_on: PageMessage) -> list[Leg]:
        run_id = approvals[0].run_id
        if not self.stack.enter_context(self.chat.answering(run_id)):
            raise Refusal(409, _TAKEN)
        options = await self._answer_options(run_id)
        results = results_of_page(going_on, await self._own_tools())
        if results and not self.agent.spec.durable:
            author = await self.agent.get_default_options(options["request_context"])
            options["prepare_step"] = _telling(results, author.get("prepare_step"))
            self.kept = partial(self.conversation.keep, results)
        await self._note(run_id, going_on.get("id"))
        return [self._answered(approval, options) for approval in approvals]

    def _answered(self, approval: Approval, options: Mapping[str, Any]) -> Leg:
        agent, run_id, call_id = self.agent, approval.run_id, approval.call_id
        if approval.approved:
            return lambda: agent.approve_tool_call(run_id, call_id, **options)
        return lambda: agent.decline_tool_call(run_id, call_id, reason=approval.reason, **options)

    async def _resumed(self, run_id: str, going_on: PageMessage | None) -> Leg:
        found = await self.agent.list_suspended_runs(
            thread_id=self.conversation.thread_id, resource_id=self.chat.owner
        )
        if all(run.run_id != run_id for run in found.runs):
            raise Refusal(409, _TAKEN)
        options = await self._answer_options(run_id)
        await self._note(run_id, None if going_on is None else going_on.get("id"))
        agent, data, call_id = self.agent, self.body.resume_data, self.body.tool_call_id
        return lambda: agent.resume_stream(data, run_id=run_id, tool_call_id=call_id, **options)

    async def _answer_options(self, run_id: str) -> dict[str, Any]:
        body = self.body
        answer = AgentAnswerBody(
            run_id=run_id,
            request_context=body.request_context,
            max_steps=body.max_steps,
            model_settings=body.model_settings,
            require_tool_approval=body.require_tool_approval,
        )
        options = await call_options(self.chat.server, self.request, self.agent, answer)
        return {**options, "abort_signal": self.controller.signal}

    # -- new runs ------------------------------------------------------------------------------

    async def _asked(
        self,
        messages: list[PageMessage],
        going_on: PageMessage | None,
        results: list[dict[str, Any]],
    ) -> Leg:
        agent, conversation = self.agent, self.conversation
        options = await call_options(self.chat.server, self.request, agent, conversation.body)
        options |= {"abort_signal": self.controller.signal}
        fresh = await conversation.unknown(messages)
        if going_on is not None and going_on not in fresh:
            # Its answer is remembered; what the page's own tools gave is not.
            given: list[Any] = [
                *model_messages(fresh),
                *([tool_message(results)] if results else []),
            ]
        else:
            given = model_messages(fresh)
        if not given:
            raise Refusal(400, "There is nothing to answer: messages holds nothing that is new.")
        if agent.spec.durable:
            options.setdefault("run_id", new_id())
            stream = agent.stream(given, **options)
            message_id = stream.message_id if going_on is None else going_on.get("id")
            await self._note(options["run_id"], message_id, results)
            return lambda: stream
        return lambda: agent.stream(given, **options)

    async def _note(
        self, run_id: str, message_id: str | None, results: list[dict[str, Any]] | None = None
    ) -> None:
        """Keep a note of what answers, where it goes on without its reader."""
        if not self.agent.spec.durable:
            return
        known = await self.chat.noted()
        if known is None or known.message_id != message_id:
            if known is not None and message_id is None and _is_of(known, run_id):
                return
            known = ChatNote(message_id or new_id())
        if not _is_of(known, run_id):
            told: list[Any] = [
                {"toolCallId": result["toolCallId"], "output": _shown_output(result)}
                for result in results or ()
            ]
            known.runs.append({"id": run_id, "results": told} if told else {"id": run_id})
        await self.chat.note(known)

    async def _own_tools(self) -> set[str]:
        """Return the names of the tools that run here."""
        agent = self.agent
        tools = await agent.list_tools(self.chat.server.request_context(self.request))
        return {name for name, tool in tools.items() if tool.call is not None} | {UPDATE_TOOL}


def _telling(results: list[dict[str, Any]], author: Any) -> Callable[[StepPreparation], Any]:
    """Return what tells the model of calls that the page ran while others of their step waited."""

    async def prepare(step: StepPreparation) -> PreparedStep:
        asked: Any = None if author is None else await call_user(author, step)
        changes: dict[str, Any] = dict(asked or {})
        told = [*changes.get("messages", step.messages), tool_message(results)]
        return cast("PreparedStep", {**changes, "messages": told})

    return prepare


def _is_of(note: ChatNote, run_id: str) -> bool:
    return any(run["id"] == run_id for run in note.runs)


def _shown_output(result: Mapping[str, Any]) -> dict[str, Any]:
    value = result["output"]["value"]
    return {"errorText": value} if result["isError"] else {"output": value}


def _is_same(stored: Any, shown: Any) -> bool:
    """Return whether two JSON values are the same to a page, for which 1 and 1.0 are."""
    match stored, shown:
        case bool(), _:
            return stored is shown
        case int() | float(), int() | float():
            return not isinstance(shown, bool) and float(stored) == float(shown)
        case dict(), dict():
            one, other = cast("dict[str, Any]", stored), cast("dict[str, Any]", shown)
            return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
        case list(), list():
            items, others = cast("list[Any]", stored), cast("list[Any]", shown)
            return len(items) == len(others) and all(map(_is_same, items, others))
        case _:
            return type(stored) is type(shown) and stored == shown
