"""Threads, messages and resources, on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from mastra.errors import ConfigError, IdTakenError, SerializationError
from mastra.storage.conversations import (
    MemoryStore,
    ResourceRecord,
    StoredMessage,
    ThreadRecord,
)


@pytest.fixture
async def memory(storage: Any) -> AsyncIterator[MemoryStore]:
    """Its conversations."""
    yield storage.memory
    await storage.aclose()


def message(number: int, thread_id: str = "t", **columns: Any) -> StoredMessage:
    """Return a message whose id and time are its number."""
    return StoredMessage(
        columns.get("id", f"m{number}"),
        thread_id,
        columns.get("resource_id", "ann"),
        columns.get("role", "user"),
        {"format": 2, "parts": [{"type": "text", "text": f"№ {number}"}]},
        columns.get("created_at", number),
    )


def ids(items: list[Any]) -> str:
    return "".join(item.id[1:] for item in items)


async def test_a_thread_that_is_stored_is_read_back(memory: MemoryStore) -> None:
    thread = ThreadRecord("t", "ann", "Trips", {"a": [1, None, 2**70]}, 5, 6)
    await memory.save_thread(thread)
    assert await memory.get_thread("t") == thread
    assert await memory.get_thread("nobody") is None


async def test_a_thread_without_metadata_has_none(memory: MemoryStore) -> None:
    await memory.save_thread(ThreadRecord("t", "ann"))
    assert await memory.get_thread("t") == ThreadRecord("t", "ann")


async def test_a_thread_takes_the_place_of_the_one_with_its_id(memory: MemoryStore) -> None:
    await memory.save_thread(ThreadRecord("t", "ann", "Trips", {"a": 1}, 1, 1))
    await memory.save_thread(ThreadRecord("t", "ann", "Food", None, 2, 3))
    assert await memory.get_thread("t") == ThreadRecord("t", "ann", "Food", None, 2, 3)


async def test_a_thread_takes_no_place_of_somebody_elses(memory: MemoryStore) -> None:
    trips = ThreadRecord("t", "ann", "Trips", {"a": 1}, 1, 1)
    await memory.save_thread(trips)
    with pytest.raises(IdTakenError, match="'t' is taken"):
        await memory.save_thread(ThreadRecord("t", "bob", "Food", None, 2, 3))
    assert await memory.get_thread("t") == trips


async def test_a_message_takes_no_place_of_somebody_elses(memory: MemoryStore) -> None:
    await memory.save_thread(ThreadRecord("bobs", "bob", updated_at=1))
    await memory.save_messages([message(1), message(2)])
    theirs = [message(7, "bobs", resource_id="bob"), message(2, "bobs", resource_id="bob")]
    with pytest.raises(IdTakenError, match="'m2' is taken"):
        await memory.save_messages(theirs)
    # All or none.
    kept = (await memory.list_messages()).messages
    assert [(item.id, item.resource_id) for item in kept] == [("m1", "ann"), ("m2", "ann")]
    thread = await memory.get_thread("bobs")
    assert thread is not None
    assert thread.updated_at == 1


async def test_two_resources_cannot_write_one_message_id_at_once(memory: MemoryStore) -> None:
    both = [message(1, resource_id="ann"), message(1, "other", resource_id="bob")]
    with pytest.raises(IdTakenError):
        await memory.save_messages(both)
    assert (await memory.list_messages()).total == 0
    outcomes: list[str] = []

    async def write(who: str) -> None:
        try:
            await memory.save_messages([message(3, who, resource_id=who)])
            outcomes.append(who)
        except IdTakenError:
            pass

    async with anyio.create_task_group() as group:
        for who in ("ann", "bob", "cyd"):
            group.start_soon(write, who)
    assert len(outcomes) == 1
    [kept] = (await memory.list_messages()).messages
    assert [kept.resource_id] == outcomes


async def make_threads(memory: MemoryStore) -> None:
    for number in range(5):
        await memory.save_thread(
            ThreadRecord(
                f"t{number}",
                "bob" if number == 3 else "ann",
                metadata={"parity": number % 2, "deep": {"x": [number]}} if number else None,
                created_at=100 - number,
                updated_at=200 + number // 2,
            )
        )


@pytest.mark.parametrize(
    ("wanted", "found", "total"),
    [
        ({}, "43210", 5),
        ({"descending": False}, "01234", 5),
        ({"order_by": "created_at"}, "01234", 5),
        ({"order_by": "created_at", "descending": False}, "43210", 5),
        ({"resource_id": "ann"}, "4210", 4),
        ({"resource_id": "nobody"}, "", 0),
        ({"per_page": 2}, "43", 5),
        ({"per_page": 2, "page": 2}, "0", 5),
        ({"per_page": 2, "page": 3}, "", 5),
        ({"per_page": 0}, "", 5),
        ({"metadata": {}}, "43210", 5),
        ({"metadata": {"parity": 1}}, "31", 2),
        ({"metadata": {"parity": 0, "deep": {"x": [4]}}}, "4", 1),
        ({"metadata": {"other": 1}}, "", 0),
        ({"metadata": {"parity": 1}, "per_page": 1, "page": 1}, "1", 2),
        ({"resource_id": "ann", "metadata": {"parity": 1}}, "1", 1),
    ],
)
async def test_threads_are_listed(memory: MemoryStore, wanted: Any, found: str, total: int) -> None:
    await make_threads(memory)
    page = await memory.list_threads(**wanted)
    assert (ids(page.threads), page.total) == (found, total)


async def test_threads_have_two_orders(memory: MemoryStore) -> None:
    with pytest.raises(ConfigError, match=r"created_at or updated_at, not 'title; --'"):
        await memory.list_threads(order_by="title; --")


async def test_a_deleted_thread_takes_its_messages_with_it(memory: MemoryStore) -> None:
    for thread_id in ("t", "u"):
        await memory.save_thread(ThreadRecord(thread_id, "ann"))
        await memory.save_messages([message(1, thread_id, id=f"m-{thread_id}")])
    assert await memory.delete_thread("t")
    assert not await memory.delete_thread("t")
    assert await memory.get_thread("t") is None
    left = await memory.list_messages()
    assert [item.id for item in left.messages] == ["m-u"]


async def test_messages_come_back_as_they_were(memory: MemoryStore) -> None:
    stored = [message(1), message(2, role="assistant")]
    await memory.save_messages(stored)
    assert (await memory.list_messages(thread_id="t")).messages == stored


async def test_a_message_takes_the_place_of_the_one_with_its_id(memory: MemoryStore) -> None:
    await memory.save_messages([message(1), message(2)])
    changed = message(3, "u", id="m1")
    await memory.save_messages([changed])
    page = await memory.list_messages()
    assert page.messages == [message(2), changed]


async def test_messages_of_one_moment_keep_their_order(memory: MemoryStore) -> None:
    await memory.save_messages([message(number, created_at=7) for number in (3, 1, 2)])
    await memory.save_messages([message(1, created_at=7)])
    assert ids((await memory.list_messages()).messages) == "312"


@pytest.mark.parametrize(
    ("wanted", "found", "total"),
    [
        ({}, "123456", 6),
        ({"thread_id": "t"}, "1356", 4),
        ({"thread_id": "t", "per_page": 3}, "356", 4),
        ({"thread_id": "t", "per_page": 3, "page": 1}, "1", 4),
        ({"thread_id": "t", "per_page": 3, "page": 2}, "", 4),
        ({"per_page": 0}, "", 6),
        ({"resource_id": "bob"}, "6", 1),
        ({"resource_id": "ann", "thread_id": "t"}, "135", 3),
        ({"ids": []}, "", 0),
        ({"ids": ["m5", "m2", "m5", "nobody"]}, "25", 2),
        ({"ids": ["m6", "m5", "m2"], "thread_id": "t"}, "56", 2),
        ({"ids": ["m1", "m2", "m3"], "per_page": 2}, "23", 3),
        ({"ids": ["m1", "m2", "m3"], "per_page": 2, "page": 1}, "1", 3),
    ],
)
async def test_messages_are_listed_the_oldest_first(
    memory: MemoryStore, wanted: Any, found: str, total: int
) -> None:
    await memory.save_messages(
        [
            message(
                number,
                "u" if number in (2, 4) else "t",
                resource_id="bob" if number == 6 else "ann",
            )
            for number in (5, 3, 1, 6, 2, 4)
        ]
    )
    page = await memory.list_messages(**wanted)
    assert (ids(page.messages), page.total) == (found, total)


async def test_many_messages_are_found_and_deleted_by_id(memory: MemoryStore) -> None:
    await memory.save_messages([message(number) for number in range(1200)])
    some = [f"m{number}" for number in range(0, 1200, 2)]
    page = await memory.list_messages(ids=some, per_page=3)
    assert ([item.created_at for item in page.messages], page.total) == ([1194, 1196, 1198], 600)
    await memory.delete_messages(some)
    await memory.delete_messages([])
    assert (await memory.list_messages()).total == 600


async def test_messages_touch_their_thread(memory: MemoryStore) -> None:
    await memory.save_thread(ThreadRecord("t", "ann", updated_at=10))
    await memory.save_messages([message(5), message(30), message(20), message(99, "unknown")])
    thread = await memory.get_thread("t")
    assert thread is not None
    assert thread.updated_at == 30
    await memory.save_messages([message(20)])
    await memory.save_messages([])
    thread = await memory.get_thread("t")
    assert thread is not None
    assert thread.updated_at == 30


async def test_many_save_messages_at_once(memory: MemoryStore) -> None:
    for thread_id in "ab":
        await memory.save_thread(ThreadRecord(thread_id, "ann"))

    async def save(number: int) -> None:
        pair = [message(number, thread_id, id=f"{thread_id}{number}") for thread_id in "ab"]
        await memory.save_messages(pair if number % 2 else pair[::-1])

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(save, number)
    assert (await memory.list_messages(thread_id="a")).total == 20
    thread = await memory.get_thread("b")
    assert thread is not None
    assert thread.updated_at == 19


async def test_a_resource_is_stored_and_replaced(memory: MemoryStore) -> None:
    assert await memory.get_resource("ann") is None
    first = ResourceRecord("ann", "# Ann", {"vip": True}, 1, 2)
    await memory.save_resource(first)
    assert await memory.get_resource("ann") == first
    second = ResourceRecord("ann", None, {}, 1, 3)
    await memory.save_resource(second)
    assert await memory.get_resource("ann") == second


async def test_what_json_cannot_hold_is_refused(memory: MemoryStore) -> None:
    odd: Any = {"a": object()}
    with pytest.raises(SerializationError, match=r"thread 't'.*: a is"):
        await memory.save_thread(ThreadRecord("t", "ann", metadata=odd))
    with pytest.raises(SerializationError, match=r"message 'm'.*: a is"):
        await memory.save_messages([message(1), StoredMessage("m", "t", "ann", "user", odd, 1)])
    with pytest.raises(SerializationError, match=r"resource 'ann'.*: a is"):
        await memory.save_resource(ResourceRecord("ann", None, odd))
    assert (await memory.list_messages()).total == 0


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


UNREADABLE: dict[str, Any] = {
    "too deep": nested(400),
    "too many digits": 10**4300,
    "no text": "\ud800",
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_could_not_be_read_is_refused_by_every_store(
    memory: MemoryStore, name: str
) -> None:
    odd: Any = {"a": {"b": UNREADABLE[name]}}
    with pytest.raises(SerializationError, match=r"thread 't'.*: a\.b"):
        await memory.save_thread(ThreadRecord("t", "ann", metadata=odd))
    with pytest.raises(SerializationError, match=r"message 'm'.*: a\.b"):
        await memory.save_messages([message(1), StoredMessage("m", "t", "ann", "user", odd, 1)])
    with pytest.raises(SerializationError, match=r"resource 'ann'.*: a\.b"):
        await memory.save_resource(ResourceRecord("ann", None, odd))
    assert (await memory.list_threads()).total == 0
    assert (await memory.list_messages()).total == 0
    assert await memory.get_resource("ann") is None


async def test_what_can_just_be_read_is_taken_by_every_store(memory: MemoryStore) -> None:
    large: Any = {"a": nested(249), "b": 10**4299, "c": "a\0b é", "d": [True, 1.5, None]}
    await memory.save_thread(ThreadRecord("t", "ann", metadata=large))
    await memory.save_messages([StoredMessage("m", "t", "ann", "user", large, 1)])
    await memory.save_resource(ResourceRecord("ann", None, large))
    thread, resource = await memory.get_thread("t"), await memory.get_resource("ann")
    [said] = (await memory.list_messages()).messages
    assert thread is not None
    assert resource is not None
    assert thread.metadata == said.content == resource.metadata == large


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
async def test_a_text_that_one_database_refuses_is_refused_by_every_store(
    memory: MemoryStore, text: str
) -> None:
    for thread in (ThreadRecord("t", "ann", text), ThreadRecord("t", text)):
        with pytest.raises(SerializationError, match=r"thread 't' .*its (title|resource_id) holds"):
            await memory.save_thread(thread)
    with pytest.raises(SerializationError, match=r"resource 'ann' .*its working_memory holds"):
        await memory.save_resource(ResourceRecord("ann", text))
    with pytest.raises(SerializationError, match=r"message 'm' .*its role holds"):
        await memory.save_messages([StoredMessage("m", "t", "ann", text, {}, 1)])
    with pytest.raises(SerializationError, match=r"its updated_at is a number of more than 64"):
        await memory.save_thread(ThreadRecord("t", "ann", updated_at=2**63))


async def test_what_is_stored_is_not_changed_from_outside(memory: MemoryStore) -> None:
    given: Any = {"a": [1]}
    await memory.save_resource(ResourceRecord("ann", None, given))
    await memory.save_messages([StoredMessage("m", "t", "ann", "user", given, 1)])
    given["a"].append(2)
    resource = await memory.get_resource("ann")
    assert resource is not None
    assert resource.metadata == {"a": [1]}
    [said] = (await memory.list_messages()).messages
    assert said.content == {"a": [1]}


async def test_messages_are_added_to_threads_that_there_are(memory: MemoryStore) -> None:
    await memory.save_thread(ThreadRecord("t", "ann"))
    assert await memory.add_messages([message(1), message(2)])
    assert await memory.add_messages([])
    assert not await memory.add_messages([message(3), message(4, "gone")])
    assert ids((await memory.list_messages()).messages) == "12"
    thread = await memory.get_thread("t")
    assert thread is not None
    assert thread.updated_at == 2
    with pytest.raises(IdTakenError):
        await memory.add_messages([message(5), message(1, resource_id="bob")])
    assert (await memory.list_messages()).total == 2


async def test_a_thread_deleted_while_messages_are_added_has_none(memory: MemoryStore) -> None:
    for round_ in range(10):
        await memory.save_thread(ThreadRecord("t", "ann"))
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(memory.add_messages, [message(10 * round_ + number)])
            tasks.start_soon(memory.delete_thread, "t")
        assert (await memory.list_messages(thread_id="t")).total == 0


async def test_a_thread_is_added_where_there_is_none(memory: MemoryStore) -> None:
    first = ThreadRecord("t", "ann", "", {"a": 1}, 1, 1)
    assert await memory.add_thread(first)
    for owner in ("ann", "bob"):
        assert not await memory.add_thread(ThreadRecord("t", owner, "Food", None, 1, 3))
    assert await memory.get_thread("t") == first


async def test_a_thread_is_changed_as_it_was_read(memory: MemoryStore) -> None:
    first = ThreadRecord("t", "ann", "", {"a": 1}, 1, 1)
    await memory.save_thread(first)
    second = ThreadRecord("t", "ann", "Trips", {"a": 2}, 1, 2)
    assert await memory.change_thread(second, first)
    assert not await memory.change_thread(ThreadRecord("t", "ann", "Food", None, 1, 3), first)
    assert await memory.get_thread("t") == second
    await memory.delete_thread("t")
    assert not await memory.change_thread(second, second)
    assert await memory.get_thread("t") is None


async def test_a_resource_is_changed_as_it_was_read(memory: MemoryStore) -> None:
    first = ResourceRecord("ann", "1", {}, 1, 1)
    assert await memory.change_resource(first, None)
    assert not await memory.change_resource(ResourceRecord("ann", "2", {}, 1, 2), None)
    second = ResourceRecord("ann", "3", {"vip": True}, 1, 3)
    assert await memory.change_resource(second, first)
    assert not await memory.change_resource(ResourceRecord("ann", "4", {}, 1, 4), first)
    assert await memory.get_resource("ann") == second
