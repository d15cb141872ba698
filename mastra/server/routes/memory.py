"""Memory: threads, messages and notes of agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.clock import iso_from_ms, now_ms
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.memory import Memory
from mastra.models.messages import Message
from mastra.models.stored_messages import stored_content
from mastra.server.caller_messages import refuse_instructions
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.given_messages import answered, read_given
from mastra.server.handling import add
from mastra.server.message_query import Included, MessageFilter, messages_asked_for
from mastra.server.paging import Page, PerPage, asked_json, asked_order, paged
from mastra.server.payloads import (
    CloneOptionsBody,
    CloneThreadBody,
    DeleteMessagesBody,
    Identifier,
    MessageFilterBody,
    NotesBody,
    SaveMessagesBody,
    ThreadBody,
    ThreadChangesBody,
)
from mastra.storage.conversations import StoredMessage, ThreadRecord

__all__ = ["add_memory_routes"]

AgentQuery = Annotated[Identifier | None, Query(alias="agentId")]
ResourceQuery = Annotated[Identifier | None, Query(alias="resourceId")]
ThreadId = Annotated[Identifier, Path(alias="threadId")]


_AT_ONCE: Final = 200
"""How many messages are looked at at once for a text."""


async def _memory_of(server: Server, request: Request, agent_id: str | None) -> Memory | None:
    """Return the memory of an agent, or without an agent that of the application's storage."""
    if agent_id is None:
        return Memory().bound_to(server.mastra)
    agent = server.agent(agent_id)
    context = AgentContext(server.query_context(request), server.mastra, agent.id)
    found = await resolve_dynamic(agent.spec.memory, context)
    return found.bound_to(server.mastra) if isinstance(found, Memory) else None


async def _memory(server: Server, request: Request, agent_id: str | None) -> Memory:
    found = await _memory_of(server, request, agent_id)
    if found is None:
        raise Refusal(400, "Memory is not initialized")
    return found


async def _thread(
    server: Server, request: Request, memory: Memory, thread_id: str, named: str | None = None
) -> ThreadRecord:
    thread = await memory.get_thread(thread_id)
    if thread is None:
        raise Refusal(404, "Thread not found")
    _check_owner(server, request, thread, named)
    return thread


def _check_owner(
    server: Server, request: Request, thread: ThreadRecord, named: str | None = None
) -> None:
    server.check_owner(request, thread.resource_id, "thread")
    # A program that is trusted says for whom it asks.
    wanted = named or request.query_params.get("resourceId")
    if wanted is not None and wanted != thread.resource_id:
        raise Refusal(403, "Access denied: thread belongs to a different resource")


def _thread_wire(thread: ThreadRecord) -> dict[str, Json]:
    wire: dict[str, Json] = {
        "id": thread.id,
        "resourceId": thread.resource_id,
        "title": thread.title,
        "metadata": None if thread.metadata is None else dict(thread.metadata),
        "createdAt": iso_from_ms(thread.created_at),
        "updatedAt": iso_from_ms(thread.updated_at),
    }
    return wire if thread.error is None else {**wire, "error": thread.error}


def _message_wire(message: StoredMessage) -> dict[str, Json]:
    wire: dict[str, Json] = {
        "id": message.id,
        "content": dict(message.content),
        "role": message.role,
        "createdAt": iso_from_ms(message.created_at),
        "threadId": message.thread_id,
        "resourceId": message.resource_id,
    }
    return wire if message.error is None else {**wire, "error": message.error}


async def status(
    server: ServerDep, request: Request, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Tell whether an agent has a memory."""
    if await _memory_of(server, request, agent_id) is None:
        return {"result": False}
    return {"result": True, "memoryType": "local"}


async def config(
    server: ServerDep, request: Request, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Tell how an agent's memory is set up."""
    found = await _memory_of(server, request, agent_id)
    if found is None:
        return {"config": None}
    return {"config": {**found.to_wire(), "observationalMemory": {"enabled": False}}}


# -- threads -----------------------------------------------------------------------------------


async def list_threads(
    server: ServerDep,
    request: Request,
    *,
    agent_id: AgentQuery = None,
    resource_id: ResourceQuery = None,
    metadata: Annotated[str | None, Query()] = None,
    page: Page = 0,
    per_page: PerPage = 100,
) -> dict[str, Json]:
    """List threads, the latest first where no other order is asked for."""
    memory = await _memory_of(server, request, agent_id)
    wanted = asked_json(metadata, "metadata", dict[str, Any])
    field, direction = asked_order(request, ("createdAt", "updatedAt"))
    is_latest_first = field is None and direction is None
    if memory is None:
        return {"threads": [], **paged(0, page, per_page)}
    owner = server.owner(request, resource_id)
    found = await memory.list_threads(
        resource_id=owner,
        metadata=wanted,
        page=page,
        per_page=per_page,
        order_by="updated_at" if is_latest_first or field == "updatedAt" else "created_at",
        descending=direction != "ASC",
    )
    return {
        "threads": [_thread_wire(thread) for thread in found.threads],
        **paged(found.total, page, per_page),
    }


async def create_thread(
    server: ServerDep, request: Request, body: ThreadBody, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Make a thread."""
    memory = await _memory(server, request, agent_id or body.agent_id)
    owner = server.owner(request, body.resource_id)
    if owner is None:
        raise Refusal(400, "resourceId is required")
    if body.thread_id is not None:
        there = await memory.get_thread(body.thread_id)
        if there is not None:
            server.check_owner(request, there.resource_id, "thread")
            if there.resource_id != owner:
                raise Refusal(409, f"Thread {body.thread_id!r} belongs to another resource")
    thread = await memory.create_thread(
        resource_id=owner,
        thread_id=body.thread_id,
        title=body.title or "",
        metadata=body.metadata,
    )
    return _thread_wire(thread)


async def get_thread(
    server: ServerDep, request: Request, thread_id: ThreadId, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Return a thread."""
    memory = await _memory(server, request, agent_id)
    return _thread_wire(await _thread(server, request, memory, thread_id))


async def update_thread(
    server: ServerDep,
    request: Request,
    thread_id: ThreadId,
    body: ThreadChangesBody,
    agent_id: AgentQuery = None,
) -> dict[str, Json]:
    """Change a thread's title, or put other metadata in place of what it has."""
    memory = await _memory(server, request, agent_id)
    thread = await _thread(server, request, memory, thread_id, body.resource_id)
    changed = await memory.change_thread(
        thread.id,
        lambda known: replace(
            known,
            title=known.title if body.title is None else body.title,
            metadata=known.metadata if body.metadata is None else body.metadata,
            error=known.error if body.metadata is None else None,
        ),
    )
    if changed is None:
        raise Refusal(404, "Thread not found")
    return _thread_wire(changed)


async def clone_thread(
    server: ServerDep,
    request: Request,
    thread_id: ThreadId,
    body: CloneThreadBody,
    agent_id: AgentQuery = None,
) -> dict[str, Json]:
    """Copy a thread with its messages."""
    memory = await _memory(server, request, agent_id)
    thread = await _thread(server, request, memory, thread_id)
    options = body.options or CloneOptionsBody()
    wanted = options.message_filter or MessageFilterBody()
    made = await memory.clone_thread(
        thread.id,
        new_thread_id=body.new_thread_id,
        resource_id=body.resource_id and server.owner(request, body.resource_id),
        title=body.title,
        metadata=body.metadata,
        message_limit=options.message_limit,
        message_ids=wanted.message_ids,
        start_date=wanted.start_date,
        end_date=wanted.end_date,
    )
    return {
        "thread": _thread_wire(made.thread),
        "messageIdMap": dict(made.message_id_map),
        "clonedMessages": [_message_wire(message) for message in made.cloned_messages],
    }


async def delete_thread(
    server: ServerDep, request: Request, thread_id: ThreadId, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Delete a thread and its messages."""
    memory = await _memory(server, request, agent_id)
    await _thread(server, request, memory, thread_id)
    await memory.delete_thread(thread_id)
    return {"result": "Thread deleted"}


# -- messages ----------------------------------------------------------------------------------


async def list_messages(
    server: ServerDep,
    request: Request,
    thread_id: ThreadId,
    *,
    agent_id: AgentQuery = None,
    resource_id: ResourceQuery = None,
    where: Annotated[str | None, Query(alias="filter")] = None,
    include: Annotated[str | None, Query()] = None,
    page: Page = 0,
    per_page: PerPage = 40,
) -> dict[str, Json]:
    """List a page of a thread's messages, the page of the latest first, each in order.

    `orderBy`, `filter` and `include` are JSON.
    """
    memory = await _memory(server, request, agent_id)
    wanted = asked_json(where, "filter", MessageFilter)
    beside = asked_json(include, "include", Included)
    field, direction = asked_order(request, ("createdAt",))
    thread = await memory.get_thread(thread_id)
    if thread is not None:
        _check_owner(server, request, thread)
    # Messages may lie under a thread that there is not, or no longer: they have an owner too.
    found = await messages_asked_for(
        memory,
        thread_id,
        server.owner(request, resource_id),
        page=page,
        per_page=per_page,
        # As the original does; a page is in order either way.
        from_first=direction == "ASC" or (field is not None and direction is None),
        where=wanted,
        include=beside or (),
    )
    return {
        "messages": [_message_wire(message) for message in found.messages],
        **paged(found.total, page, per_page),
        "uiMessages": None,
    }


async def save_messages(
    server: ServerDep, request: Request, body: SaveMessagesBody, agent_id: AgentQuery = None
) -> dict[str, Json]:
    """Store messages in threads that there are."""
    memory = await _memory(server, request, agent_id or body.agent_id)
    saved: list[StoredMessage] = []
    last: Message | None = None
    for given in body.messages:
        thread = await _thread(server, request, memory, given.thread_id)
        # What is said in a thread is what its agents are told next.
        refuse_instructions(server.config.instructions_of_callers, {"role": given.role})
        message, content = read_given(given)
        asked = last if saved and saved[-1].thread_id == thread.id else None
        whole = answered(asked, message)
        if whole is not None:  # results are stored with their calls
            saved[-1] = replace(saved[-1], content=stored_content(whole))
            last = whole
            continue
        last = message
        when = now_ms() if given.created_at is None else int(given.created_at.timestamp() * 1000)
        identifier = given.id or new_id()
        saved.append(
            StoredMessage(identifier, thread.id, thread.resource_id, given.role, content, when)
        )
    await memory.store_messages(saved)
    return {"messages": [{**_message_wire(message), "type": "text"} for message in saved]}


async def delete_messages(
    server: ServerDep,
    request: Request,
    body: DeleteMessagesBody,
    agent_id: AgentQuery = None,
    resource_id: ResourceQuery = None,
) -> dict[str, Json]:
    """Delete messages."""
    memory = await _memory(server, request, agent_id)
    ids = body.ids
    owner = server.owner(request, resource_id)
    if owner is not None:
        mine = await memory.list_messages(resource_id=owner, ids=ids)
        known = {message.id for message in mine.messages}
        if not known.issuperset(ids):
            raise Refusal(403, "Access denied: a message belongs to a different resource")
    await memory.delete_messages(ids)
    return {"success": True, "message": f"{len(ids)} message(s) deleted successfully"}


async def _with_words(
    memory: Memory, words: str, limit: int, options: dict[str, Any]
) -> list[StoredMessage]:
    """Return the latest messages that hold a text, without having all of them in memory."""
    hits: dict[str, StoredMessage] = {}
    page, is_more = 0, True
    while is_more and len(hits) < limit:
        found = await memory.list_messages(**options, page=page, per_page=_AT_ONCE)
        hits |= {m.id: m for m in reversed(found.messages) if words in _text(m).lower()}
        page += 1
        is_more = page * _AT_ONCE < found.total
    return list(hits.values())[:limit]


async def search(
    server: ServerDep,
    request: Request,
    query: Annotated[str, Query(alias="searchQuery", min_length=1, max_length=1000)],
    *,
    agent_id: AgentQuery = None,
    resource_id: ResourceQuery = None,
    thread_id: Annotated[Identifier | None, Query(alias="threadId")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> dict[str, Json]:
    """Find messages that are like a text, with semantic recall, or else that hold it."""
    memory = await _memory(server, request, agent_id)
    owner = server.owner(request, resource_id)
    if owner is None:
        raise Refusal(400, "resourceId is required")
    options: dict[str, Any] = {"resource_id": owner}
    if thread_id is not None:
        options["thread_id"] = thread_id
    is_semantic = memory.semantic_recall is not None
    if is_semantic:
        hits = [message for message, _ in await memory.search(query, top_k=limit, **options)]
    else:
        hits = await _with_words(memory, query.lower(), limit, options)
    titles = {m.thread_id: await memory.get_thread(m.thread_id) for m in hits}
    return {
        "results": [_hit(message, titles[message.thread_id]) for message in hits],
        "count": len(hits),
        "query": query,
        "searchScope": "resource" if thread_id is None else "thread",
        "searchType": "semantic" if is_semantic else "text",
    }


def _text(message: StoredMessage) -> str:
    parts: Any = message.content.get("parts")
    found = cast("list[Any]", parts if isinstance(parts, list) else [])
    return " ".join(
        str(cast("Any", part).get("text") or "") for part in found if isinstance(part, Mapping)
    )


def _hit(message: StoredMessage, thread: ThreadRecord | None) -> dict[str, Json]:
    return {
        "id": message.id,
        "role": message.role,
        "content": _text(message),
        "createdAt": iso_from_ms(message.created_at),
        "threadId": message.thread_id,
        "threadTitle": (thread and thread.title) or message.thread_id,
        "context": {"before": [], "after": []},
    }


# -- notes -------------------------------------------------------------------------------------


async def get_notes(
    server: ServerDep,
    request: Request,
    thread_id: ThreadId,
    *,
    agent_id: AgentQuery = None,
    resource_id: ResourceQuery = None,
) -> dict[str, Json]:
    """Return an agent's notes about a resource, or in a thread."""
    memory = await _memory(server, request, agent_id)
    thread = await memory.get_thread(thread_id)
    if thread is not None:
        _check_owner(server, request, thread)
    owner = server.owner(request, resource_id)
    working = memory.working_memory
    notes = await memory.get_working_memory(thread_id=thread_id, resource_id=owner)
    template: Json = None
    if working is not None and working.enabled:
        content = memory.to_wire()["workingMemory"]["template"]
        template = {"format": "markdown", "content": content}
    return {
        "workingMemory": notes,
        "source": "resource" if working is None else working.scope,
        "workingMemoryTemplate": template,
        "threadExists": thread is not None,
    }


async def set_notes(
    server: ServerDep,
    request: Request,
    thread_id: ThreadId,
    body: NotesBody,
    agent_id: AgentQuery = None,
) -> dict[str, Json]:
    """Rewrite an agent's notes."""
    memory = await _memory(server, request, agent_id)
    thread = await _thread(server, request, memory, thread_id, body.resource_id)
    notes: Any = body.working_memory
    await memory.update_working_memory(notes, thread_id=thread_id, resource_id=thread.resource_id)
    return {"success": True}


def add_memory_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/memory/threads/{threadId}"
    add(router, "GET", "/memory/status", status)
    add(router, "GET", "/memory/config", config)
    add(router, "GET", "/memory/threads", list_threads)
    add(router, "POST", "/memory/threads", create_thread)
    add(router, "GET", one, get_thread)
    add(router, "PATCH", one, update_thread)
    add(router, "DELETE", one, delete_thread)
    add(router, "POST", f"{one}/clone", clone_thread)
    add(router, "GET", f"{one}/messages", list_messages)
    add(router, "GET", f"{one}/working-memory", get_notes)
    add(router, "POST", f"{one}/working-memory", set_notes)
    add(router, "POST", "/memory/save-messages", save_messages)
    add(router, "POST", "/memory/messages/delete", delete_messages)
    add(router, "GET", "/memory/search", search)
