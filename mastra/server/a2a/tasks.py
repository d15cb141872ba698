"""Tasks, in the application's storage: a head without a journal each, of whoever asked for it.

A task under way is told of often, and stored when its state changes: what it has said until then is
in this process alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import Any, Final, cast

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Part, Task, TaskState
from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
from google.protobuf.json_format import MessageToDict, ParseDict

from mastra.jsonable import Json
from mastra.server.a2a.own_errors import own_errors
from mastra.server.context import Server
from mastra.server.leftovers import LEFT, forget_old
from mastra.storage.base import RunChanges, RunHead

__all__ = ["StoredTasks", "owner_of"]

_AT_ONCE: Final = 200
"""How many tasks are read at once where one page of many is asked for."""
_WAITS: Final = "suspended"
"""The status of what is kept of a task that waits, which is not forgotten."""
_OVER: Final = frozenset((
    TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_REJECTED, TaskState.TASK_STATE_INPUT_REQUIRED,
))  # fmt: skip


def owner_of(context: ServerCallContext) -> str | None:
    """Return whose tasks a caller may see; `None` for all, where callers are not known."""
    return cast("str | None", context.state.get("owner"))


class StoredTasks(TaskStore):
    """The tasks of one agent, in the application's storage."""

    def __init__(self, server: Server, agent_id: str) -> None:
        self._server = server
        self._store = server.mastra.storage.workflows
        self._place = f"a2a:{agent_id}"
        self._under_way: dict[str, tuple[str | None, Task]] = {}

    @own_errors
    async def save(self, task: Task, context: ServerCallContext) -> None:
        """Keep a task as it is."""
        _join_texts(task)
        owner = owner_of(context)
        known = self._under_way.get(task.id)
        is_new = known is None or known[1].status.state != task.status.state
        copied = Task()
        copied.CopyFrom(task)
        if task.status.state in _OVER:
            self._under_way.pop(task.id, None)
        else:
            self._under_way[task.id] = owner, copied
        if not is_new:
            return
        data: dict[str, Json] = {"task": MessageToDict(copied)}
        status = _WAITS if task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED else LEFT
        head = RunHead(self._place, task.id, status, owner, data=data)
        if not await self._store.create_run(head):
            changes = RunChanges(status=status, data=data)
            await self._store.update_run(self._place, task.id, changes)
        await forget_old(self._server, self._place)

    @own_errors
    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        """Return a task of the caller's."""
        owner = owner_of(context)
        known = self._under_way.get(task_id)
        if known is not None:
            copied = Task()
            copied.CopyFrom(known[1])
            return copied if owner in {None, known[0]} else None
        head = await self._store.get_run(self._place, task_id)
        if head is None or "task" not in head.data or owner not in {None, head.resource_id}:
            return None
        return _read(head)

    @own_errors
    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Return a page of the caller's tasks; where callers are not known, of the context named."""
        owner = owner_of(context)
        if owner is None and self._server.config.auth is None and not params.context_id:
            return ListTasksResponse()
        # One more than are asked for says whether there is a next page.
        wanted = ListTasksRequest()
        wanted.CopyFrom(params)
        wanted.page_size = (params.page_size or DEFAULT_LIST_TASKS_PAGE_SIZE) + 1
        shown: list[Task] = []
        total = 0
        async for heads in self._heads(owner):
            known = {head.run_id: self._under_way.get(head.run_id) for head in heads}
            stored = [head for head in heads if "task" in head.data and known[head.run_id] is None]
            read = await asyncio.to_thread(_all_read, stored)
            read += [task for found in known.values() if found is not None for task in found[1:]]
            some = await _listed(read, wanted, context)
            total += some.total_size
            shown = list((await _listed([*shown, *some.tasks], wanted, context)).tasks)
        listed = await _listed(shown, params, context)
        listed.page_size, listed.total_size = len(listed.tasks), total
        return listed

    async def _heads(self, owner: str | None) -> AsyncIterator[list[RunHead]]:
        """Yield what is kept of a caller's tasks, the newest first, some at a time."""
        newest: int | None = None
        seen = 0
        while True:
            page = await self._store.list_runs(
                self._place, resource_id=owner, to_ms=newest, offset=seen, limit=_AT_ONCE
            )
            yield page.runs
            if len(page.runs) < _AT_ONCE:
                return
            # Not by a place in the list: what is new meanwhile would push some onto the next page.
            oldest = page.runs[-1].created_at
            equal = sum(head.created_at == oldest for head in page.runs)
            newest, seen = oldest, equal + (seen if oldest == newest else 0)

    @own_errors
    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Forget a task."""
        if await self.get(task_id, context) is not None:
            self._under_way.pop(task_id, None)
            await self._store.delete_run(self._place, task_id)


async def _listed(
    tasks: Iterable[Task], params: ListTasksRequest, context: ServerCallContext
) -> ListTasksResponse:
    page = InMemoryTaskStore(use_copying=False)
    for task in tasks:
        await page.save(task, context)
    return await page.list(params, context)


def _all_read(heads: list[RunHead]) -> list[Task]:
    return [_read(head) for head in heads]


def _read(head: RunHead) -> Task:
    return ParseDict(cast("dict[str, Any]", head.data["task"]), Task(), ignore_unknown_fields=True)


def _join_texts(task: Task) -> None:
    """Make one text of the pieces that an answer came in."""
    for artifact in task.artifacts:
        parts: list[Part] = []
        for is_text, several in groupby(artifact.parts, _is_text):
            pieces = list(several)
            own = [Part() for _ in (pieces[:1] if is_text else pieces)]
            for part, piece in zip(own, pieces, strict=False):
                part.CopyFrom(piece)
            if is_text:
                own[0].text = "".join(piece.text for piece in pieces)
            parts += own
        if len(parts) < len(artifact.parts):
            del artifact.parts[:]
            artifact.parts.extend(parts)


def _is_text(part: Part) -> bool:
    return part.WhichOneof("content") == "text"
