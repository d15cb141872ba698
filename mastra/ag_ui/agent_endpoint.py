"""Answers to a page's thread with an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from ag_ui.core import ResumeEntry
from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response

from mastra.ag_ui.agent_display import AgentDisplay
from mastra.ag_ui.agent_teller import AgentTeller, Telling
from mastra.ag_ui.answering import answer_frames, encoder_of, event_response, text_of_error
from mastra.ag_ui.interrupts import Answers, Open, RefusedAnswer, answered_opens, call_interrupt
from mastra.ag_ui.outbox import Outbox
from mastra.ag_ui.page import RunInput, agent_body, page_results
from mastra.ag_ui.state import SharedNotes
from mastra.agents.agent import Agent
from mastra.agents.chunks import error_to_wire
from mastra.agents.lookup import find_suspended
from mastra.agents.loop.recall import UPDATE_TOOL
from mastra.agents.waiting.suspended import SuspendedRun
from mastra.errors import MastraError
from mastra.ids import new_id
from mastra.pages.chats import Chat, cancel, status_of
from mastra.pages.conversation import Conversation, tool_message
from mastra.pages.facts import APPROVAL
from mastra.pages.turns import Leg, Taken, Turn
from mastra.pages.who import agent_of
from mastra.server.caller_options import call_options
from mastra.server.context import ServerDep
from mastra.server.errors import Refusal
from mastra.server.errors import status_of as http_status_of
from mastra.server.payloads import AgentAnswerBody, AgentBody
from mastra.stream.abort import AbortController

__all__ = ["agent_endpoint"]

_UNDER_WAY = frozenset(("running", "waiting"))
_MOST_RUNS = 50
"""How many runs the answers of one request are looked up in."""


def agent_endpoint(
    fixed: str | None,
    on_error: Callable[[Mapping[str, Any]], str] | None,
    *,
    send_reasoning: bool,
) -> Callable[..., Any]:
    """Return what answers.

    Args:
        fixed: The agent, where the path names none.
        on_error: Says what a page is told of an error.
        send_reasoning: Whether pages see what the model thinks.
    """
    found = agent_of(fixed)

    async def ag_ui_agent(
        server: ServerDep, request: Request, given: RunInput, agent: Agent = found
    ) -> Response:
        """Run an agent for a page of AG-UI."""
        kind = f"ag-ui:agent:{agent.id}"
        chat = Chat.of(server, request, kind, given.thread_id, given.resource_id)
        encoder = encoder_of(request)
        outbox = Outbox(given, encoder)
        telling = Telling(outbox, text_of_error(on_error), send_reasoning)
        asking = _Asking(chat, request, agent, given, telling)
        return event_response(server, encoder, await asking.answer())

    return ag_ui_agent


@dataclass(slots=True)
class _Asking:
    chat: Chat
    request: Request
    agent: Agent
    given: RunInput
    telling: Telling

    async def answer(self) -> AsyncGenerator[bytes, None]:
        """Begin, and return the answer as it is sent.

        Raises:
            Refusal: It is nothing that can be answered, or not the caller's to say.
        """
        body = agent_body(self.given)
        conversation = await Conversation.of(self.chat, self.request, self.agent, body)
        opens = await self._opens(conversation)
        answers = Answers(self.chat)
        outbox = self.telling.outbox
        try:
            answered = await answered_opens(answers, opens, self.given.resume or ())
            notes = SharedNotes.of(conversation)
            if self.given.resume and not answered:
                return answer_frames(outbox)
            with ExitStack() as stack:
                return await self._begun(conversation, notes, answers, answered, stack)
        except RefusedAnswer as refused:
            return answer_frames(outbox, refused.message, refused.code)
        except MastraError as error:
            if http_status_of(error) < 500:
                raise
            text = self.telling.text_of_error(error_to_wire(error))
            return answer_frames(outbox, text, error.code)

    async def _begun(
        self,
        conversation: Conversation,
        notes: SharedNotes | None,
        answers: Answers,
        answered: list[tuple[Open, ResumeEntry]],
        stack: ExitStack,
    ) -> AsyncGenerator[bytes, None]:
        chat = self.chat
        controller = stack.enter_context(chat.stoppable())
        prefix = ""
        if answered:
            first, _ = answered[0]
            runs = dict.fromkeys(one.run_id for one, _ in answered)
            if not all(stack.enter_context(chat.answering(run_id)) for run_id in runs):
                await answers.check_given_before([*answers.given])
                return answer_frames(self.telling.outbox)
            legs = await self._answered(answered, controller)
            prefix = f"-{first.place}"
            await answers.keep(is_taken=False)
        else:
            legs = [await self._asked(conversation, controller, stack)]
        if notes is not None:
            await notes.take(self.given.state)
        teller = AgentTeller(self.telling, prefix=prefix)
        opens = partial(self._opened, conversation)
        display = AgentDisplay(self.telling, teller, notes, opens)
        turn = Turn(chat.server, display, legs, stack.pop_all(), controller)
        turn.is_opened_at_once = True
        try:
            await turn.begin(self.request)
        except Taken:
            # Somebody else was quicker, maybe with the same answer.
            await answers.check_given_before([*answers.given])
            return answer_frames(self.telling.outbox)
        except Refusal:
            await self._stop(turn, controller)
            raise
        if answered:
            await answers.keep(is_taken=True)
        teller.message_id = turn.begun.message_id
        return self._until_left(turn, controller)

    async def _until_left(
        self, turn: Turn, controller: AbortController
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answer; a page that leaves before its end stops the run."""
        outbox = self.telling.outbox
        try:
            async with aclosing(turn.frames()) as frames:
                async for made in frames:
                    yield made
        except Exception:
            self.chat.server.logger.exception("An answer to a page of AG-UI failed")
            outbox.fail(self.telling.text_of_error({"message": "The run failed."}))
            yield outbox.taken()
        finally:
            if not outbox.is_over:
                await self._stop(turn, controller)

    async def _stop(self, turn: Turn, controller: AbortController) -> None:
        """Stop a run whose page has left, also one that goes on without readers."""
        controller.abort("The page has left.")
        stream = turn.begun
        with CancelScope(shield=True):
            if stream.status == "suspended":
                await self._note(stream.run_id)
            elif (
                self.agent.spec.durable and await status_of(self.agent, stream.run_id) in _UNDER_WAY
            ):
                await cancel(self.agent, stream.run_id)

    # -- runs that wait ------------------------------------------------------------------------

    async def _opens(self, conversation: Conversation) -> list[Open]:
        """Return what waits of the thread's own runs, and of those that the page names by id.

        Nobody is told what others wait for who call a thread of theirs the same.
        """
        named = [entry.interrupt_id.partition(APPROVAL)[0] for entry in self.given.resume or ()][
            :_MOST_RUNS
        ]
        runs = await self._waiting([*await self._noted(), *named], conversation)
        calls = [call_interrupt(run, call) for run in runs for call in run.tool_calls]
        return await Answers(self.chat).number(calls)

    async def _waiting(
        self, run_ids: Sequence[str], conversation: Conversation
    ) -> list[SuspendedRun]:
        found = [
            await find_suspended(self.agent, run_id, self.chat.owner)
            for run_id in dict.fromkeys(run_ids)
        ]
        return [run for run in found if run is not None and run.thread_id == conversation.thread_id]

    async def _opened(self, conversation: Conversation, run_id: str) -> list[Open]:
        """Return what waits once a run of the thread does."""
        await self._note(run_id)
        return await self._opens(conversation)

    async def _noted(self) -> list[str]:
        """Return the latest runs of the thread that may wait."""
        noted = await self.chat.noted()
        return [] if noted is None else [str(run["id"]) for run in noted.runs]

    async def _note(self, run_id: str) -> None:
        """Keep a note of a run that may wait, for pages that come later."""
        await self.chat.add_run(run_id, self._is_live)

    async def _is_live(self, run_id: str) -> bool:
        if await find_suspended(self.agent, run_id) is not None:
            return True
        return self.agent.spec.durable and await status_of(self.agent, run_id) in _UNDER_WAY

    async def _answered(
        self,
        answered: Sequence[tuple[Open, ResumeEntry]],
        controller: AbortController,
    ) -> list[Leg]:
        body = AgentAnswerBody(
            run_id=answered[0][0].run_id, request_context=agent_body(self.given).request_context
        )
        options = await call_options(self.chat.server, self.request, self.agent, body)
        options |= {"abort_signal": controller.signal}
        results = page_results(self.given.messages, await self._own_tools())
        if results:
            options["client_results"] = results
            self.telling.outbox.brought |= {result["toolCallId"] for result in results}
        return [self._leg(one, entry, options) for one, entry in answered]

    def _leg(self, one: Open, entry: ResumeEntry, options: Mapping[str, Any]) -> Leg:
        agent, run_id, call_id = self.agent, one.run_id, one.name
        payload: Any = entry.payload
        if entry.status == "cancelled":
            why: str | None = "The user cancelled."
            begin = partial(agent.decline_tool_call, run_id, call_id, reason=why, **options)
        elif not one.is_approval:
            begin = partial(
                agent.resume_stream, payload, run_id=run_id, tool_call_id=call_id, **options
            )
        elif payload["approved"]:
            edited: Any = payload.get("editedArgs")
            begin = partial(agent.approve_tool_call, run_id, call_id, args=edited, **options)
        else:
            why = payload.get("reason")
            begin = partial(agent.decline_tool_call, run_id, call_id, reason=why, **options)
        return Leg(begin, run_id)

    # -- new runs ------------------------------------------------------------------------------

    async def _asked(
        self, conversation: Conversation, controller: AbortController, stack: ExitStack
    ) -> Leg:
        agent = self.agent
        body = conversation.body
        options = await call_options(self.chat.server, self.request, agent, body)
        options |= {"abort_signal": controller.signal}
        results = page_results(self.given.messages, await self._own_tools())
        if not stack.enter_context(self.chat.telling(results)):
            raise Taken
        messages = await self._fresh(conversation, body, results)
        if not messages:
            raise Refusal(400, "There is nothing to answer: messages holds nothing that is new.")
        if agent.spec.durable:
            options["run_id"] = new_id()
            # It may come to wait in another process, whatever becomes of this one.
            await self._note(options["run_id"])
        return Leg(lambda: agent.stream(messages, **options))

    async def _fresh(
        self, conversation: Conversation, body: AgentBody, results: list[dict[str, Any]]
    ) -> list[Any]:
        """Return what of the page's messages is new to the agent.

        Args:
            conversation: What it remembers.
            body: What the page sends.
            results: What the page's tools gave, as the page says.
        """
        given: list[Any] = body.messages  # pyright: ignore[reportAssignmentType]
        if conversation.memory is None or conversation.memory.read_only:
            return given
        fresh = await conversation.unknown(given)
        ids = {message.get("id") for message in fresh}
        known = tuple(
            f"{message['id']}-"
            for message in given
            if message.get("id") and message["id"] not in ids
        )
        # What was answered in one run is stored as one message; the page has one for each step.
        left = [
            message
            for message in fresh
            if message["role"] != "tool"
            and not (message["role"] == "assistant" and message["id"].startswith(known))
        ]
        told = await conversation.unanswered(results)
        # Of an answer that was cut off nothing is remembered, and the page's word counts.
        own = {
            part.get("toolCallId")
            for message in left
            if message["role"] == "assistant"
            for part in message["content"]
        }
        results = [one for one in results if one in told or one["toolCallId"] in own]
        return [*left, tool_message(results)] if results else left

    async def _own_tools(self) -> set[str]:
        """Return the names of the tools that run here."""
        tools = await self.agent.list_tools(self.chat.server.request_context(self.request))
        return {name for name, tool in tools.items() if tool.call is not None} | {UPDATE_TOOL}
