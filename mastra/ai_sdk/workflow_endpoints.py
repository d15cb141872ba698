"""Runs of workflows for a page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mastra.ai_sdk.chunks import StreamOptions
from mastra.ai_sdk.endpoints import ChatId, Endpoints, asked_options, nothing, stream_response
from mastra.ai_sdk.page import WorkflowChatBody, page_messages
from mastra.ai_sdk.run_translator import RunTranslator
from mastra.ai_sdk.ui_stream import DONE
from mastra.errors import MastraError
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.pages.chats import Chat, ChatNote
from mastra.pages.facts import framed
from mastra.pages.who import workflow_key_of
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.routes.runs import starting
from mastra.server.streaming import OPENED
from mastra.workflows.run_info import RunInfo
from mastra.workflows.run_stream import RunStream
from mastra.workflows.workflow import Workflow

__all__ = ["workflow_endpoints"]

_BATCH = 64
_UNDER_WAY = frozenset(("running", "waiting"))
_SHOWN = _UNDER_WAY | {"suspended", "paused"}

AnyWorkflow = Workflow[Any, Any, Any]


def workflow_endpoints(fixed: str | None, options: StreamOptions) -> Endpoints:
    """Return what answers.

    Args:
        fixed: The workflow, where the path names none.
        options: How runs are shown.
    """
    found = workflow_key_of(fixed)

    async def run(
        server: ServerDep, request: Request, body: WorkflowChatBody, key: str = found
    ) -> Response:
        """Start a run for a page, or resume one."""
        workflow = server.workflow(key)
        run_id = body.run_id or new_id()
        chat = _chat(server, request, workflow, body.id or run_id)
        page_messages(body.messages)
        known: RunInfo | None = None
        if "resume_data" in body.model_fields_set:
            run_id = body.run_id or await _run_of(chat) or run_id
            known = await workflow.get_run(run_id)
            events = await _resumed(server, request, workflow, run_id, body)
        else:
            async with starting(server, request, key, run_id, body) as (started, given):
                events = started.stream(**given)
                await events.__aenter__()
        message_id = await _message_of(chat, run_id, body)
        shown = replace(asked_options(request, options), message_id=message_id)
        return stream_response(server, _frames(server, events, shown, known))

    async def run_stream(
        server: ServerDep, request: Request, chat_id: ChatId, key: str = found
    ) -> Response:
        """Go on with a page's run, from its beginning, if it is under way or waits."""
        workflow = server.workflow(key)
        chat = _chat(server, request, workflow, chat_id)
        note = await chat.noted() or ChatNote(chat_id, [{"id": chat_id}])
        run_id = str(note.runs[-1]["id"])
        head = await server.run_head(request, workflow, run_id)
        if head is None or head.status not in _SHOWN:
            return nothing()
        shown = replace(asked_options(request, options), message_id=note.message_id)
        events = (await workflow.create_run(run_id)).observe_stream()
        return stream_response(server, _frames(server, events, shown))

    async def run_stop(
        server: ServerDep, request: Request, chat_id: ChatId, key: str = found
    ) -> dict[str, Json]:
        """Cancel a page's run."""
        workflow = server.workflow(key)
        run_id = await _run_of(_chat(server, request, workflow, chat_id)) or chat_id
        head = await server.run_head(request, workflow, run_id)
        if head is None or head.status not in _UNDER_WAY:
            return {"stopped": False}
        await (await workflow.create_run(run_id)).cancel()
        return {"stopped": True}

    return Endpoints(run, run_stream, run_stop)


def _chat(server: Server, request: Request, workflow: AnyWorkflow, chat_id: str) -> Chat:
    return Chat.of(server, request, f"ai-sdk:workflow:{workflow.id}", chat_id)


async def _run_of(chat: Chat) -> str | None:
    noted = await chat.noted()
    return None if noted is None else str(noted.runs[-1]["id"])


async def _message_of(chat: Chat, run_id: str, body: WorkflowChatBody) -> str:
    """Return the id of the message that shows a run, and keep a note of it.

    It is the page's own, where that goes on; else the run's, unless another message has that.
    """
    last: Any = body.messages[-1] if body.messages else {}
    going_on = last.get("id") if last.get("role") == "assistant" else None
    noted = await chat.noted()
    is_first = noted is None or noted.runs[-1]["id"] != run_id
    message_id = going_on or (run_id if is_first else new_id())
    await chat.note(ChatNote(message_id, [{"id": run_id}]))
    return message_id


async def _resumed(
    server: Server, request: Request, workflow: AnyWorkflow, run_id: str, body: WorkflowChatBody
) -> RunStream[Any]:
    await server.need_run(request, workflow, run_id)
    if body.step == []:
        raise Refusal(400, "step must name a step.")
    events = (await workflow.create_run(run_id)).resume_stream(
        body.resume_data,
        step=body.step,
        request_context=server.request_context(request, body.request_context),
        per_step=body.per_step,
    )
    return await events.__aenter__()


async def _frames(
    server: Server, events: RunStream[Any], options: StreamOptions, known: RunInfo | None = None
) -> AsyncGenerator[bytes, None]:
    translator = RunTranslator(options)
    yield OPENED
    if known is not None:
        steps = known.to_wire(frozenset({"steps"}))["steps"]
        translator.parts.know(known.run_id, known.workflow_id, steps)
    yield b"".join(map(framed, translator.begin(events.run_id)))
    try:
        async for batch in events.batches(_BATCH):
            await server.turns.next()
            made = [framed(chunk) for event in batch for chunk in translator.translate(event)]
            if made:
                yield b"".join(made)
        ended = translator.end()
    except MastraError as error:
        ended = translator.fail(error)
    yield b"".join(map(framed, ended)) + DONE
