"""Programs that are told of their tasks at an address of theirs.

A caller chooses the address, and the server posts to it. So the author says which may be chosen, and
none of a private network may unless it is named. Whoever reads the task waits for none of this.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from a2a.server.context import ServerCallContext
from a2a.server.tasks import (
    BasePushNotificationSender,
    PushNotificationConfigStore,
    PushNotificationSender,
)
from a2a.server.tasks.push_notification_config_store import normalize_push_notification_config
from a2a.server.tasks.push_notification_sender import PushNotificationEvent
from a2a.types.a2a_pb2 import TaskArtifactUpdateEvent, TaskPushNotificationConfig
from a2a.utils.errors import InvalidParamsError
from a2a.utils.push_url_validator import validate_push_notification_url
from google.protobuf.json_format import MessageToDict, ParseDict

from mastra.jsonable import Json
from mastra.server.a2a.own_errors import own_errors
from mastra.server.a2a.tasks import owner_of
from mastra.server.context import Server
from mastra.server.leftovers import LEFT, forget_old
from mastra.storage.base import RunChanges, RunHead

__all__ = ["Addresses", "StoredAddresses", "Teller"]

_MOST: int = 10
"""How many addresses a task is told of at."""
_TIMEOUT_S = 10.0
_ANY = "*"


class Addresses:
    """Which addresses may be told of tasks.

    Args:
        origins: As `ServerConfig.push_origins`.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._named = {origin for one in origins if (origin := _origin(one)) is not None}
        self._is_any = _ANY in origins

    async def allow(self, url: str) -> bool:
        """Return whether an address may be told: one that is named, or a public one."""
        if self.names(url):
            return True
        return self._is_any and await validate_push_notification_url(url)

    def names(self, url: str) -> bool:
        """Return whether the author names an address."""
        return _origin(url) in self._named


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return where an address is, if it is one of HTTP and shows no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


class _Checked(httpx.AsyncHTTPTransport):
    """Connects to the very address that was found to be public: a name may resolve to another next."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__()
        self._addresses = addresses

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        url = request.url
        if not self._addresses.names(str(url)):
            request.extensions = {**request.extensions, "sni_hostname": url.host}
            request.url = url.copy_with(host=await _public(url))
        return await super().handle_async_request(request)


async def _public(url: httpx.URL) -> str:
    """Return the number of a host, all of whose numbers are public."""
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    numbers = [cast("str", info[4][0]) for info in found]
    if not numbers or not all(map(_is_public, numbers)):
        raise httpx.ConnectError(f"{url.host} is not of the public network.")
    return numbers[0]


def _is_public(number: str) -> bool:
    address = ip_address(number.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast and not address.is_reserved


class StoredAddresses(PushNotificationConfigStore):
    """Where each task of an agent is told of, in the application's storage, of its owner alone."""

    def __init__(self, server: Server, agent_id: str) -> None:
        self._server = server
        self._store = server.mastra.storage.workflows
        self._place = f"a2a:{agent_id}:push"
        self._changing = asyncio.Lock()

    @own_errors
    async def set_info(
        self,
        task_id: str,
        notification_config: TaskPushNotificationConfig,
        context: ServerCallContext,
    ) -> TaskPushNotificationConfig:
        """Keep an address, in place of one of the same id."""
        made = normalize_push_notification_config(task_id, notification_config)
        async with self._changing:
            kept = [one for one in await self.get_info(task_id, context) if one.id != made.id]
            if len(kept) >= _MOST:
                raise InvalidParamsError(message=f"A task is told of at {_MOST} addresses at most.")
            await self._keep(task_id, [*kept, made], owner_of(context))
        await forget_old(self._server, self._place)
        return made

    async def _keep(
        self, task_id: str, kept: Sequence[TaskPushNotificationConfig], owner: str | None
    ) -> None:
        data: dict[str, Json] = {"configs": [MessageToDict(one) for one in kept]}
        head = RunHead(self._place, task_id, LEFT, owner, data=data)
        if not await self._store.create_run(head):
            await self._store.update_run(self._place, task_id, RunChanges(data=data))

    @own_errors
    async def get_info(
        self, task_id: str, context: ServerCallContext
    ) -> list[TaskPushNotificationConfig]:
        """Return a task's addresses, if it is the caller's."""
        head = await self._store.get_run(self._place, task_id)
        owner = owner_of(context)
        return _read(head) if head is not None and owner in {None, head.resource_id} else []

    @own_errors
    async def get_info_for_dispatch(self, task_id: str) -> list[TaskPushNotificationConfig]:
        """Return a task's addresses."""
        head = await self._store.get_run(self._place, task_id)
        return [] if head is None else _read(head)

    @own_errors
    async def delete_info(
        self, task_id: str, context: ServerCallContext, config_id: str | None = None
    ) -> None:
        """Forget an address of a task, or all."""
        async with self._changing:
            known = await self.get_info(task_id, context)
            kept = [one for one in known if config_id is not None and one.id != config_id]
            if len(kept) == len(known):
                return
            if kept:
                await self._keep(task_id, kept, owner_of(context))
            else:
                await self._store.delete_run(self._place, task_id)


def _read(head: RunHead) -> list[TaskPushNotificationConfig]:
    stored: Any = head.data.get("configs", ())
    return [
        ParseDict(one, TaskPushNotificationConfig(), ignore_unknown_fields=True) for one in stored
    ]


class Teller(PushNotificationSender):
    """Tells of each task in order, beside whatever else happens.

    Pieces of an answer that wait while an address is slow are told as one.

    Args:
        addresses: Which may be told.
        stored: Where each task is told of.
    """

    def __init__(self, addresses: Addresses, stored: StoredAddresses) -> None:
        self._client = httpx.AsyncClient(
            transport=_Checked(addresses), timeout=_TIMEOUT_S, trust_env=False
        )
        self._sender = BasePushNotificationSender(
            self._client, stored, push_url_validator=addresses.allow
        )
        self._waiting: dict[str, deque[PushNotificationEvent]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def send_notification(self, task_id: str, event: PushNotificationEvent) -> None:
        """Tell of what has come of a task, in a while."""
        copied = type(event)()
        copied.CopyFrom(event)  # pyright: ignore[reportArgumentType]
        waiting = self._waiting.get(task_id)
        if waiting is not None:
            if not (waiting and _joined(waiting[-1], copied)):
                waiting.append(copied)
            return
        self._waiting[task_id] = deque([copied])
        # Not a task group's: the task that it tells of does not wait for it.
        task = asyncio.get_running_loop().create_task(self._tell(task_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, task_id: str) -> None:
        waiting = self._waiting[task_id]
        try:
            while waiting:
                await self._sender.send_notification(task_id, waiting.popleft())
        finally:
            del self._waiting[task_id]

    async def aclose(self, patience_s: float) -> None:
        """Tell what is left, for as long as there is patience."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_s)
            for task in late:
                task.cancel()
        await self._client.aclose()


def _joined(last: PushNotificationEvent, event: PushNotificationEvent) -> bool:
    """Add a piece of an artifact to the piece before it, if that waits; return whether it did."""
    if not (
        isinstance(last, TaskArtifactUpdateEvent)
        and isinstance(event, TaskArtifactUpdateEvent)
        and event.append
        and last.artifact.artifact_id == event.artifact.artifact_id
    ):
        return False
    last.artifact.parts.extend(event.artifact.parts)
    last.last_chunk = event.last_chunk
    return True
