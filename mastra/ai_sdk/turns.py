"""One turn of a chat: from what a page sends to the runs that answer it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk
from mastra.agents.lookup import find_suspended
from mastra.agents.loop.recall import UPDATE_TOOL
from mastra.agents.waiting.suspended import SuspendedRun
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chunks import StreamOptions, asks_approval
from mastra.ai_sdk.page import (
    Approval,
    ChatBody,
    PageMessage,
    answered_approvals,
    asked_again,
    asking_runs,
    calls_of,
    model_messages,
    page_messages,
    results_of_page,
)
from mastra.ai_sdk.ui_stream import DONE, usage_of
from mastra.errors import MastraError
from mastra.ids import new_id
from mastra.pages.chats import Chat, ChatNote, status_of
from mastra.pages.conversation import Conversation, tool_message
from mastra.pages.facts import framed, is_same
from mastra.pages.turns import Leg, Taken, Turn
from mastra.server.caller_options import call_options
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentAnswerBody
from mastra.stream.abort import AbortController

__all__ = ["client_tools", "turn_of"]

_UNDER_WAY: Final = frozenset(("running", "waiting"))
_MOST_RUNS: Final = 50
"""How many runs the approvals of one message are looked up in, the latest."""
_ALL: Final = sys.maxsize
"""More chunks than a run has: of one that is read from there on only how it is now is shown."""


@dataclass(slots=True)
class _Display:
    """Shows runs as one message."""

    translator: AgentTranslator
    is_behind: bool = False
    goes_on: bool = False

    async def begin(self) -> bytes:
        return b"".join(map(framed, self.translator.begin()))

    def frames(self, chunks: Sequence[AgentChunk]) -> bytes:
        self.translator.goes_on = self.goes_on
        return self.translator.frames(chunks)

    async def catch_up(self) -> bytes:
        return b""

    async def end(self, stream: AgentStream[Any]) -> bytes:
        made = self.translator.end(stream.status, await usage_of(stream))
        return b"".join(map(framed, made)) + DONE

    async def fail(self, error: MastraError) -> bytes:
        return b"".join(map(framed, self.translator.fail(error))) + DONE


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
        display = _Display(AgentTranslator(shown))
        return Turn(chat.server, display, legs, stack.pop_all(), controller)


@dataclass(slots=True)
class _Asking:
    chat: Chat
    request: Request
    agent: Agent
    body: ChatBody
    conversation: Conversation
    stack: ExitStack
    controller: AbortController

    async def legs(self, messages: list[PageMessage], going_on: PageMessage | None) -> list[Leg]:
        """Return what answers: approvals that wait, a tool that waits, or a new run."""
        body = self.body
        results: list[dict[str, Any]] = []
        if going_on is not None:
            results = results_of_page(going_on, await self._own_tools())
        if body.run_id is not None and "resume_data" in body.model_fields_set:
            return [await self._resumed(body.run_id, going_on, results)]
        approvals = [] if going_on is None else answered_approvals(going_on)
        if going_on is not None and approvals:
            waiting = await self._waiting(approvals)
            if not waiting:
                raise Taken
            return await self._approved(waiting, going_on, results)
        if going_on is not None and results:
            run_id = await self._waits_still(going_on)
            if run_id is not None:
                return [await self._told_early(run_id, going_on, results)]
        return [await self._asked(messages, going_on, results)]

    # -- runs that wait ------------------------------------------------------------------------

    async def _waiting(self, approvals: list[Approval]) -> list[Approval]:
        """Return the answers to calls that wait for one, each as it is stored.

        Raises:
            Refusal: The page shows another call than the one that is stored.
        """
        named = list(dict.fromkeys(approval.run_id for approval in approvals))
        found = [await self._suspended(run_id) for run_id in named[-_MOST_RUNS:]]
        stored = {
            (run.run_id, call.tool_call_id): call
            for run in found
            if run is not None
            for call in run.tool_calls
            if call.kind == "approval" or asks_approval(call.suspend_payload)
        }
        waiting: list[Approval] = []
        for approval in approvals:
            call = stored.get((approval.run_id, approval.call_id))
            place = approval.run_id, approval.call_id
            if call is None or any((one.run_id, one.call_id) == place for one in waiting):
                continue
            if call.tool_name != approval.tool_name or not is_same(call.args, approval.args):
                raise Refusal(
                    409, "The call was changed after its approval was asked for. Nothing was run."
                )
            waiting.append(replace(approval, is_of_another=call.kind != "approval"))
        return waiting

    async def _suspended(self, run_id: str) -> SuspendedRun | None:
        """Return a run of this chat that waits."""
        run = await find_suspended(self.agent, run_id, self.chat.owner)
        return None if run is None or run.thread_id != self.conversation.thread_id else run

    async def _approved(
        self, approvals: list[Approval], going_on: PageMessage, results: list[dict[str, Any]]
    ) -> list[Leg]:
        runs = list(dict.fromkeys(approval.run_id for approval in approvals))
        if not all(self.stack.enter_context(self.chat.answering(run_id)) for run_id in runs):
            raise Taken
        options = await self._answer_options(runs[0], results)
        for run_id in runs:
            await self._note(run_id, going_on.get("id"))
        # One run after the other, each with all that is answered of it.
        return [
            self._answered(approval, options)
            for run_id in runs
            for approval in approvals
            if approval.run_id == run_id
        ]

    def _answered(self, approval: Approval, options: Mapping[str, Any]) -> Leg:
        agent, run_id, call_id = self.agent, approval.run_id, approval.call_id
        if approval.is_of_another:
            said = {"approved": approval.approved, "reason": approval.reason}
            data = {key: value for key, value in said.items() if value is not None}
            return Leg(
                lambda: agent.resume_stream(data, run_id=run_id, tool_call_id=call_id, **options),
                run_id,
            )
        if approval.approved:
            return Leg(lambda: agent.approve_tool_call(run_id, call_id, **options), run_id)
        why = approval.reason
        return Leg(lambda: agent.decline_tool_call(run_id, call_id, reason=why, **options), run_id)

    async def _waits_still(self, going_on: PageMessage) -> str | None:
        """Return the run of a message that waits for a person, whose answer is not there yet."""
        for run_id in [*asking_runs(going_on)][-_MOST_RUNS:]:
            if await self._suspended(run_id) is not None:
                return run_id
        return None

    async def _told_early(
        self, run_id: str, going_on: PageMessage, results: list[dict[str, Any]]
    ) -> Leg:
        """Take what the page's tools gave while the run waits for a person; nothing runs.

        The page sends it once more with the person's answer; one that comes back finds it again.
        """
        await self._note(run_id, going_on.get("id"), given=results)
        agent, context = self.agent, self.chat.server.request_context(self.request)
        return Leg(lambda: agent.observe(run_id, offset=_ALL, request_context=context))

    async def _resumed(
        self, run_id: str, going_on: PageMessage | None, results: list[dict[str, Any]]
    ) -> Leg:
        if await self._suspended(run_id) is None:
            raise Taken
        options = await self._answer_options(run_id, results)
        await self._note(run_id, None if going_on is None else going_on.get("id"))
        agent, data, call_id = self.agent, self.body.resume_data, self.body.tool_call_id
        return Leg(
            lambda: agent.resume_stream(data, run_id=run_id, tool_call_id=call_id, **options)
        )

    async def _answer_options(self, run_id: str, results: list[dict[str, Any]]) -> dict[str, Any]:
        body = self.body
        answer = AgentAnswerBody(
            run_id=run_id,
            request_context=body.request_context,
            max_steps=body.max_steps,
            model_settings=body.model_settings,
            require_tool_approval=body.require_tool_approval,
        )
        options = await call_options(self.chat.server, self.request, self.agent, answer)
        told = {"client_results": results} if results else {}
        return {**options, **told, "abort_signal": self.controller.signal}

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
        is_known = going_on is not None and going_on not in fresh
        if results:
            results = await self._still_open(results, is_known=is_known)
        if is_known:
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
            return Leg(lambda: stream)
        return Leg(lambda: agent.stream(given, **options))

    async def _still_open(
        self, results: list[dict[str, Any]], *, is_known: bool
    ) -> list[dict[str, Any]]:
        """Return what the page's tools gave and nobody has been told.

        Args:
            results: What the page says that they gave.
            is_known: Whether the message with the calls is remembered.

        Raises:
            Taken: It was told already, or of no call that there is.
        """
        is_first = self.stack.enter_context(self.chat.telling(results))
        note = await self.chat.noted() if self.agent.spec.durable else None
        last: Mapping[str, Any] = {} if note is None or not note.runs else note.runs[-1]
        told: set[str] = {one["toolCallId"] for one in last.get("results") or ()}
        if told and await status_of(self.agent, str(last["id"])) not in _UNDER_WAY:
            told = set()
        left = [one for one in results if one["toolCallId"] not in told]
        if is_known:
            left = await self.conversation.unanswered(left)
        if not is_first or not left:
            raise Taken
        return left

    async def _note(
        self,
        run_id: str,
        message_id: str | None,
        results: Sequence[Mapping[str, Any]] = (),
        given: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Keep a note of what answers, where it goes on without its reader.

        Args:
            run_id: The run.
            message_id: The message that it makes.
            results: What the page's tools gave before it.
            given: What they gave while it waited.
        """
        if not self.agent.spec.durable:
            return
        known = await self.chat.noted()
        if known is None or known.message_id != message_id:
            if known is not None and message_id is None and _is_of(known, run_id):
                return
            known = ChatNote(message_id or new_id())
        if not _is_of(known, run_id):
            known.runs.append({"id": run_id})
        for run in known.runs:
            if run["id"] == run_id:
                run |= {key: _shown(told) for key, told in _told(results, given)}
        await self.chat.note(known)

    async def _own_tools(self) -> set[str]:
        """Return the names of the tools that run here."""
        agent = self.agent
        tools = await agent.list_tools(self.chat.server.request_context(self.request))
        return {name for name, tool in tools.items() if tool.call is not None} | {UPDATE_TOOL}


def _is_of(note: ChatNote, run_id: str) -> bool:
    return any(run["id"] == run_id for run in note.runs)


def _told(
    results: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    return [(key, told) for key, told in (("results", results), ("given", given)) if told]


def _shown(results: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what the page's tools gave, as another that looks at the message is shown it."""
    return [
        {
            "toolCallId": result["toolCallId"],
            "output": {("errorText" if result["isError"] else "output"): result["output"]["value"]},
        }
        for result in results
    ]
