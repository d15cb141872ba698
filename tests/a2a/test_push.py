"""Programs are told of their tasks at an address of theirs, where the author lets them choose it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.types import a2a_pb2 as p
from starlette.requests import Request

from mastra import Mastra
from mastra.errors import ConfigError
from mastra.server import ApiRoute, BearerAuth, ServerConfig
from mastra.server.a2a.pushing import Addresses, _Checked
from tests.a2a.app import PAID, build
from tests.a2a.test_a2a import ALICE, BOB, client_of, ended, message, told
from tests.server.live import running


class Hook:
    """A program's own server, which is told of tasks."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.held: asyncio.Event | None = None
        self.over = asyncio.Event()
        self.url = ""

    async def __call__(self, request: Request) -> dict[str, Any]:
        if self.held is not None:
            await self.held.wait()
        event = await request.json()
        self.told.append(event)
        self.headers.append(dict(request.headers))
        state = event.get("statusUpdate", {}).get("status", {}).get("state", "")
        if state.removeprefix("TASK_STATE_") in {"COMPLETED", "INPUT_REQUIRED", "FAILED"}:
            self.over.set()
        return {}

    @property
    def text(self) -> str:
        updates = [event["artifactUpdate"] for event in self.told if "artifactUpdate" in event]
        return "".join(part["text"] for one in updates for part in one["artifact"]["parts"])

    async def is_told(self) -> None:
        async with asyncio.timeout(10):
            await self.over.wait()
        self.over.clear()


@asynccontextmanager
async def listening() -> AsyncGenerator[Hook]:
    hook = Hook()

    async def handle(request: Request) -> dict[str, Any]:
        return await hook(request)

    routes = [ApiRoute(path="/hook", method="POST", handler=handle)]
    async with running(Mastra(server=ServerConfig(api_routes=routes))) as (url, _):
        hook.url = url
        yield hook


def config(hook: Hook | str, task_id: str = "", **facts: Any) -> p.TaskPushNotificationConfig:
    url = hook if isinstance(hook, str) else f"{hook.url}/hook"
    return p.TaskPushNotificationConfig(task_id=task_id, url=url, **facts)


def asking(text: Any, wanted: p.TaskPushNotificationConfig, **facts: Any) -> Any:
    request = message(text, **facts)
    request.configuration.task_push_notification_config.CopyFrom(wanted)
    return request


async def test_a_task_is_told_of_with_the_token_in_order() -> None:
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            auth = p.AuthenticationInfo(scheme="Bearer", credentials="secret")
            wanted = config(hook, token="t-1", authentication=auth)
            await told(client, asking("hello there", wanted))
            await hook.is_told()
    assert hook.told[0]["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert hook.text == "You said hello there."
    assert {one["x-a2a-notification-token"] for one in hook.headers} == {"t-1"}
    assert {one["authorization"] for one in hook.headers} == {"Bearer secret"}


async def test_who_reads_a_task_does_not_wait_for_whoever_is_told() -> None:
    async with listening() as hook:
        hook.held = asyncio.Event()
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            state, _ = await ended(client, asking("one two three four five six", config(hook)))
            assert (state, hook.told) == ("COMPLETED", [])
            hook.held.set()
            await hook.is_told()
    assert hook.text == "You said one two three four five six."
    states = [e["statusUpdate"]["status"]["state"] for e in hook.told if "statusUpdate" in e]
    assert states == ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]


async def test_addresses_are_set_got_listed_and_deleted() -> None:
    PAID.clear()
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            _, update = await ended(client, message("pay ann"))
            task_id = update["taskId"]
            for name in ("a", "b"):
                made = await client.create_task_push_notification_config(
                    config(hook, task_id, id=name, token=name)
                )
                assert (made.id, made.task_id) == (name, task_id)
            one = p.GetTaskPushNotificationConfigRequest(task_id=task_id, id="a")
            assert (await client.get_task_push_notification_config(one)).token == "a"
            every = p.ListTaskPushNotificationConfigsRequest(task_id=task_id)
            listed = await client.list_task_push_notification_configs(every)
            assert [found.id for found in listed.configs] == ["a", "b"]
            gone = p.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="a")
            for _ in range(2):
                await client.delete_task_push_notification_config(gone)
            listed = await client.list_task_push_notification_configs(every)
            assert [found.id for found in listed.configs] == ["b"]
        # Another process goes on with the task, and tells of it.
        again = Mastra(agents=app.list_agents(), storage=app.storage, server=app.server)
        async with running(again) as (url, _), client_of(url) as client:
            await told(client, message({"approved": True}, taskId=task_id))
            await hook.is_told()
    assert {one["x-a2a-notification-token"] for one in hook.headers} == {"b"}
    assert PAID == ["ann"]


async def test_addresses_are_their_owners() -> None:
    async with listening() as hook:
        tokens = BearerAuth({"a": "alice", "b": "bob"})
        app = build(ServerConfig(auth=tokens, push_origins=[hook.url]))
        async with running(app) as (url, _):
            async with client_of(url, ALICE) as alice, client_of(url, BOB) as bob:
                _, update = await ended(alice, message("pay ann"))
                task_id = update["taskId"]
                wanted = config(hook, task_id, id="x")
                await alice.create_task_push_notification_config(wanted)
                listing = p.ListTaskPushNotificationConfigsRequest(task_id=task_id)
                getting = p.GetTaskPushNotificationConfigRequest(task_id=task_id, id="x")
                deleting = p.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="x")
                for asked in (
                    bob.create_task_push_notification_config(config(hook, task_id, id="y")),
                    bob.list_task_push_notification_configs(listing),
                    bob.get_task_push_notification_config(getting),
                    bob.delete_task_push_notification_config(deleting),
                    told(bob, asking("hello", config(hook, id="y"), taskId=task_id)),
                ):
                    with pytest.raises(Exception, match="not found"):
                        await asked
                assert len((await alice.list_task_push_notification_configs(listing)).configs) == 1


async def test_by_default_there_are_none_and_the_card_says_so() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        async with httpx.AsyncClient() as http:
            card = (await http.get(f"{url}/api/a2a/helper/.well-known/agent-card.json")).json()
        assert not card["capabilities"].get("pushNotifications")
        _, update = await ended(client, message("pay ann"))
        wanted = config("https://example.com/", update["taskId"])
        with pytest.raises(Exception, match="not supported"):
            await client.create_task_push_notification_config(wanted)


REFUSED = r"Invalid push|Validation failed"
PRIVATE = [
    "http://127.0.0.1:1/",
    "http://localhost:1/",
    "http://[::1]:1/",
    "http://[::ffff:127.0.0.1]/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "ftp://example.com/",
    "file:///etc/passwd",
    "http://",
    "",
]


@pytest.mark.parametrize("origins", [["*"], ["https://hooks.example.com"]])
async def test_what_the_author_does_not_allow_is_refused(origins: list[str]) -> None:
    async with running(build(ServerConfig(push_origins=origins))) as (url, _):
        async with client_of(url) as client:
            _, update = await ended(client, message("pay ann"))
            refused = [
                *PRIVATE,
                "https://hooks.example.com.evil.test/",
                "https://hooks.example.com:8443/",
            ]
            if origins != ["*"]:
                refused += ["http://hooks.example.com/", "https://example.com/"]
                refused.append("https://user@hooks.example.com/")
            for address in refused if origins != ["*"] else PRIVATE:
                with pytest.raises(Exception, match=REFUSED):
                    await client.create_task_push_notification_config(
                        config(address, update["taskId"])
                    )
                with pytest.raises(Exception, match=REFUSED):
                    await told(client, asking("hello", config(address)))


async def test_a_name_that_comes_to_be_private_is_not_posted_to() -> None:
    async with listening() as hook:
        port = httpx.URL(hook.url).port
        async with httpx.AsyncClient(transport=_Checked(Addresses(["*"]))) as http:
            for host in ("localhost", "127.0.0.1", "[::1]"):
                with pytest.raises(httpx.ConnectError, match="public"):
                    await http.post(f"http://{host}:{port}/hook", json={})
    assert hook.told == []


async def test_a_public_name_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastra.server.a2a.pushing._is_public", lambda _: True)
    async with listening() as hook:
        port = httpx.URL(hook.url).port
        async with httpx.AsyncClient(transport=_Checked(Addresses(["*"]))) as http:
            answer = await http.post(f"http://localhost:{port}/hook", json={})
        assert answer.status_code == 200
        assert hook.headers[0]["host"] == f"localhost:{port}"


async def test_a_task_has_ten_addresses_at_most() -> None:
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            _, update = await ended(client, message("pay ann"))
            for number in range(10):
                wanted = config(hook, update["taskId"], id=str(number))
                await client.create_task_push_notification_config(wanted)
            with pytest.raises(Exception, match="10 addresses"):
                await client.create_task_push_notification_config(config(hook, update["taskId"]))


@pytest.mark.parametrize("origin", ["hooks.example.com", "https://a.example/path", "ftp://a", ""])
def test_an_origin_is_one(origin: str) -> None:
    with pytest.raises(ConfigError, match="push_origins"):
        ServerConfig(push_origins=[origin])


async def test_a_client_of_version_0_3_sets_one() -> None:
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), httpx.AsyncClient() as http:

            async def called(method: str, params: Any) -> dict[str, Any]:
                call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                return (await http.post(f"{url}/api/a2a/helper", json=call)).json()

            said = {
                "messageId": "m",
                "role": "user",
                "kind": "message",
                "parts": [{"kind": "text", "text": "pay ann"}],
            }
            task = (await called("message/send", {"message": said}))["result"]
            wanted = {"url": f"{hook.url}/hook", "token": "t"}
            made = await called(
                "tasks/pushNotificationConfig/set",
                {"taskId": task["id"], "pushNotificationConfig": wanted},
            )
            assert made["result"]["pushNotificationConfig"]["token"] == "t"
            said |= {"taskId": task["id"], "parts": [{"kind": "data", "data": {"approved": True}}]}
            await called("message/send", {"message": said})
            await hook.is_told()
