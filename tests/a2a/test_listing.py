"""Many tasks of one caller: listed page by page, and read from the storage so."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2 as p
from google.protobuf.json_format import ParseDict

from mastra import ServerConfig
from mastra.server import BearerAuth, create_app
from mastra.server.a2a.tasks import StoredTasks
from mastra.server.app import server_of
from tests.a2a.app import build

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
ALICE = ServerCallContext(state={"owner": "alice"})
BOB = ServerCallContext(state={"owner": "bob"})
STATES = ("COMPLETED", "WORKING", "INPUT_REQUIRED", "FAILED")


async def kept(count: int, text: str = "hello") -> StoredTasks:
    app = create_app(build(ServerConfig(auth=BearerAuth({"a": "alice", "b": "bob"}))))
    tasks = StoredTasks(server_of(app), "helper")
    for place in random.Random(3).sample(range(count), count):
        status = {
            "state": f"TASK_STATE_{STATES[place % 4]}",
            "timestamp": f"2026-01-01T00:{place // 60 % 60:02}:{place % 60:02}Z",
        }
        facts = {"id": f"t{place:04}", "contextId": f"c{place % 2}", "status": status}
        said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}
        await tasks.save(ParseDict({**facts, "history": [said]}, p.Task()), ALICE)
    return tasks


async def pages(tasks: StoredTasks, size: int, **asked: object) -> list[p.ListTasksResponse]:
    found: list[p.ListTasksResponse] = []
    token = ""
    while not found or token:
        request = p.ListTasksRequest(page_size=size, page_token=token)
        request.MergeFrom(p.ListTasksRequest(**asked))  # pyright: ignore[reportArgumentType]
        found.append(await tasks.list(request, ALICE))
        token = found[-1].next_page_token
    return found


async def test_each_task_is_on_one_page_by_the_time_of_its_state() -> None:
    tasks = await kept(450)
    found = await pages(tasks, 100)
    assert [len(page.tasks) for page in found] == [100, 100, 100, 100, 50]
    assert {page.total_size for page in found} == {450}
    ids = [task.id for page in found for task in page.tasks]
    assert ids == [f"t{place:04}" for place in reversed(range(450))]
    of_one = await pages(tasks, 40, context_id="c1", status=p.TaskState.TASK_STATE_FAILED)
    assert {page.total_size for page in of_one} == {112}
    ids = [task.id for page in of_one for task in page.tasks]
    assert ids == [f"t{place:04}" for place in reversed(range(450)) if place % 4 == 3]
    assert (await tasks.list(p.ListTasksRequest(), BOB)).total_size == 0
    assert len((await tasks.list(p.ListTasksRequest(), ALICE)).tasks) == 50


async def test_a_page_fits_exactly_or_is_empty() -> None:
    tasks = await kept(200)
    [whole] = await pages(tasks, 200)
    assert (len(whole.tasks), whole.total_size) == (200, 200)
    first, second = await pages(tasks, 199)
    assert (len(first.tasks), len(second.tasks)) == (199, 1)
    [none] = await pages(await kept(0), 10)
    assert (len(none.tasks), none.total_size) == (0, 0)


async def test_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match="Token"):
        await (await kept(3)).list(p.ListTasksRequest(page_token="nope"), ALICE)


async def test_one_page_of_many_tasks_costs_what_one_of_fewer_does() -> None:
    async def peak(tasks: StoredTasks) -> int:
        await tasks.list(p.ListTasksRequest(page_size=5), ALICE)
        tracemalloc.start()
        try:
            await tasks.list(p.ListTasksRequest(page_size=5), ALICE)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    many, fewer = await kept(1200, "x" * 2000), await kept(300, "x" * 2000)
    assert await peak(many) < 2 * await peak(fewer)
