"""Runs of workflows for a page's thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from ag_ui.core import (
    ResumeEntry,
    RunFinishedCancelledOutcome,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    UserMessage,
)
from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response

from mastra.ag_ui.agent_teller import Telling
from mastra.ag_ui.answering import answer_frames, encoder_of, event_response, text_of_error
from mastra.ag_ui.interrupts import Answers, Open, RefusedAnswer, answered_opens, step_interrupt
from mastra.ag_ui.outbox import Outbox
from mastra.ag_ui.page import RunInput, agent_body
from mastra.ag_ui.run_teller import RunTeller
from mastra.agents.chunks import error_to_wire
from mastra.errors import MastraError, ResumeClaimedError, RunClaimedError, RunStateError
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.pages.chats import Chat
from mastra.pages.who import workflow_key_of
from mastra.schema import Schema, SchemaMismatch
from mastra.server.context import ServerDep, load_strict
from mastra.server.errors import Refusal
from mastra.server.payloads import StartBody
from mastra.server.routes.runs import starting
from mastra.server.streaming import OPENED
from mastra.workflows.engines.resume import resume_schema_of
from mastra.workflows.run_stream import RunStream
from mastra.workflows.workflow import Workflow

__all__ = ["workflow_endpoint"]

_BATCH = 64
_ENDED = frozenset(("success", "failed", "tripwire", "canceled", "bailed"))
_TAKEN = (ResumeClaimedError, RunClaimedError, RunStateError)

AnyWorkflow = Workflow[Any, Any, Any]


def workflow_endpoint(
    fixed: str | None, on_error: Callable[[Mapping[str, Any]], str] | None
) -> Callable[..., Any]:
    """Return what answers.

    Args:
        fixed: The workflow, where the path names none.
        on_error: Says what a page is told of an error.
    """
    found = workflow_key_of(fixed)

    async def ag_ui_workflow(
        server: ServerDep, request: Request, given: RunInput, key: str = found
    ) -> Response:
        """Run a workflow for a page of AG-UI."""
        workflow = server.workflow(key)
        kind = f"ag-ui:workflow:{workflow.id}"
        chat = Chat.of(server, request, kind, given.thread_id, given.resource_id)
        encoder = encoder_of(request)
        telling = Telling(Outbox(given, encoder), text_of_error(on_error))
        running = _Running(chat, request, workflow, key, given, telling)
        return event_response(server, encoder, await running.answer())

    return ag_ui_workflow


@dataclass(slots=True)
class _Running:
    chat: Chat
    request: Request
    workflow: AnyWorkflow
    key: str
    given: RunInput
    telling: Telling

    async def answer(self) -> AsyncGenerator[bytes, None]:
        """Begin, and return the run as it is sent.

        Raises:
            Refusal: It is nothing that can be run, or not the caller's to say.
        """
        answers, outbox = Answers(self.chat), self.telling.outbox
        try:
            opens = await self._opens()
            answered = await answered_opens(answers, opens, self.given.resume or ())
            if not answered and self.given.resume:
                return answer_frames(outbox)
            if not answered:
                return await self._started()
            return await self._resumed(answers, await self._kept(answered))
        except RefusedAnswer as refused:
            return answer_frames(outbox, refused.message, refused.code)

    # -- beginning -----------------------------------------------------------------------------

    async def _started(self) -> AsyncGenerator[bytes, None]:
        given, spec = self.given, self.workflow.spec
        run_id, server = new_id(), self.chat.server
        state = cast(
            "dict[str, Any] | None", given.state if isinstance(given.state, dict) else None
        )
        context = agent_body(given).request_context
        body = StartBody(
            input_data=self._input(),
            initial_state=(state or None) if spec.state_schema is not None else None,
            request_context=context,
        )
        async with starting(server, self.request, self.key, run_id, body) as (run, options):
            events = run.stream(**options)
            await events.__aenter__()
        await self.chat.add_run(run_id, self._is_live)
        return self._frames(events, [], body.initial_state or {})

    def _input(self) -> Any:
        """Return the run's input: what the application sends along, else what the user says."""
        props, schema = self.given.props, self.workflow.spec.input_schema
        if "inputData" in props:
            return props["inputData"]
        users = [one for one in self.given.messages if isinstance(one, UserMessage)]
        if not users:
            raise Refusal(400, "A workflow takes forwardedProps.inputData, or a user's message.")
        said = users[-1].content
        text = said if isinstance(said, str) else "".join(getattr(p, "text", "") for p in said)
        return _read_as(schema, text)

    async def _resumed(
        self, answers: Answers, answered: Sequence[tuple[Open, ResumeEntry]]
    ) -> AsyncGenerator[bytes, None]:
        if not answered:
            await answers.keep(is_taken=True)
            return _cancelled_frames(self.telling.outbox)
        await answers.keep(is_taken=False)
        first, *others = answered
        known = await self.workflow.get_run(first[0].run_id)
        events = await self._leg(*first)
        try:
            await events.__aenter__()
        except _TAKEN:
            # Somebody else was quicker, maybe with the same answer.
            await answers.check_given_before([*answers.given])
            return answer_frames(self.telling.outbox)
        await answers.keep(is_taken=True)
        return self._frames(events, others, {} if known is None else dict(known.state))

    async def _leg(self, one: Open, entry: ResumeEntry) -> RunStream[Any]:
        run = await self.workflow.create_run(one.run_id)
        context = agent_body(self.given).request_context
        asked = self.chat.server.request_context(self.request, context)
        return run.resume_stream(entry.payload, step=one.name, request_context=asked)

    async def _kept(
        self, answered: Sequence[tuple[Open, ResumeEntry]]
    ) -> list[tuple[Open, ResumeEntry]]:
        """Cancel the runs that the page does not go on with; return the answers to the others."""
        gone = dict.fromkeys(one.run_id for one, entry in answered if entry.status == "cancelled")
        for run_id in gone:
            await (await self.workflow.create_run(run_id)).cancel()
        return [(one, entry) for one, entry in answered if one.run_id not in gone]

    # -- what waits ----------------------------------------------------------------------------

    async def _is_live(self, run_id: str) -> bool:
        head = await self.chat.server.run_head(self.request, self.workflow, run_id)
        return head is not None and head.status not in _ENDED

    async def _opens(self) -> list[Open]:
        """Return what the thread's runs wait for."""
        noted = await self.chat.noted()
        opens: list[Open] = []
        for known in [] if noted is None else noted.runs:
            opens += await self._opens_of(str(known["id"]))
        return await Answers(self.chat).number(opens)

    async def _opens_of(self, run_id: str) -> list[Open]:
        head = await self.chat.server.run_head(self.request, self.workflow, run_id)
        if head is None or head.status != "suspended":
            return []
        info = await self.workflow.get_run(run_id)
        steps: dict[str, Any] = {} if info is None else info.to_wire(frozenset({"steps"}))["steps"]
        names = [name for name, step in steps.items() if step["status"] == "suspended"]
        return [
            step_interrupt(
                run_id,
                name,
                steps[name].get("suspendPayload"),
                self._schema_of(name),
            )
            for name in names
            if not any(other.startswith(f"{name}.") for other in names)
        ]

    def _schema_of(self, name: str) -> dict[str, Any]:
        schema = resume_schema_of(self.workflow.spec, name.split("."))
        return {} if schema is None else schema.json_schema()

    # -- sending -------------------------------------------------------------------------------

    async def _frames(
        self,
        events: RunStream[Any],
        others: Sequence[tuple[Open, ResumeEntry]],
        state: dict[str, Json],
    ) -> AsyncGenerator[bytes, None]:
        """Yield the run; a page that leaves before its end stops it."""
        outbox, teller = self.telling.outbox, RunTeller(self.telling)
        waits: RunStream[Any] | None = None
        try:
            yield OPENED
            outbox.start()
            outbox.show_state(state)
            yield outbox.taken()
            async for made in self._leg_frames(events, teller):
                yield made
            for one, entry in others:
                status, is_same = await events.status(), one.run_id == events.run_id
                if status == "suspended" and not is_same:
                    waits = events  # it asks for more
                if status == "suspended" or (status == "success" and not is_same):
                    events = await self._leg(one, entry)
                    async for made in self._leg_frames(events, teller):
                        yield made
            teller.close()
            is_success = await events.status() == "success"
            await self._end(waits if waits is not None and is_success else events, teller)
        except MastraError as error:
            teller.close()
            outbox.fail(self.telling.text_of_error(error_to_wire(error)), error.code)
        except Exception:
            self.chat.server.logger.exception("An answer to a page of AG-UI failed")
            outbox.fail(self.telling.text_of_error({"message": "The run failed."}))
        finally:
            if not outbox.is_over:
                with CancelScope(shield=True):
                    await (await self.workflow.create_run(events.run_id)).cancel()
        yield outbox.taken()

    async def _leg_frames(
        self, events: RunStream[Any], teller: RunTeller
    ) -> AsyncGenerator[bytes, None]:
        outbox = self.telling.outbox
        async for batch in events.batches(_BATCH):
            await self.chat.server.turns.next()
            for event in batch:
                teller.tell(event)
            if teller.has_new_state:
                teller.has_new_state = False
                await self._show_state(events.run_id)
            made = outbox.taken()
            if made:
                yield made

    async def _show_state(self, run_id: str) -> None:
        info = await self.workflow.get_run(run_id)
        if info is not None:
            self.telling.outbox.show_state(dict(info.state))

    async def _end(self, events: RunStream[Any], teller: RunTeller) -> None:
        outbox = self.telling.outbox
        result: Any = await events.result()
        outbox.show_state(dict(result.state))
        match result.status:
            case "suspended":
                opens = await self._opens()
                interrupts = [one.interrupt for one in opens]
                outbox.finish(
                    RunFinishedInterruptOutcome(interrupts=interrupts), usage=teller.usage
                )
            case "success":
                given = result.to_wire().get("result")
                outbox.finish(RunFinishedSuccessOutcome(), usage=teller.usage, result=given)
            case "canceled" | "paused":
                outbox.finish(RunFinishedCancelledOutcome(), usage=teller.usage)
            case _:
                error: Any = teller.error or {"message": "The run failed."}
                outbox.fail(self.telling.text_of_error(error), error.get("code"))


async def _cancelled_frames(outbox: Outbox) -> AsyncGenerator[bytes, None]:
    yield OPENED
    outbox.start()
    outbox.finish(RunFinishedCancelledOutcome())
    yield outbox.taken()


def _read_as(schema: Schema[Any], text: str) -> Any:
    """Return what a user says as what a workflow takes: JSON, the text, or a prompt."""
    candidates: list[Any] = [text, {"prompt": text}]
    with suppress(ValueError):
        candidates.insert(0, load_strict(text))
    for candidate in candidates:
        try:
            schema.load(candidate)
        except SchemaMismatch:
            continue
        return candidate
    return candidates[0]
