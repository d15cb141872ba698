"""What messages mean: kept with them, found by likeness, on every store."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra.errors import InputValidationError
from mastra.storage.conversations import (
    MemoryStore,
    StoredMessage,
    ThreadRecord,
)
from mastra.storage.vectors import (
    MessageVector,
    Vectors,
    packed,
    ranked,
    shortlist,
    sketch_of,
)


@pytest.fixture
async def memory(storage: Any) -> AsyncIterator[MemoryStore]:
    yield storage.memory
    await storage.aclose()


@pytest.fixture
async def vectors(memory: Any) -> Vectors:
    """Vectors of messages m0 to m5: two threads of Ann's, one of Bob's."""
    places = [("t", "ann"), ("t", "ann"), ("t", "ann"), ("u", "ann"), ("u", "ann"), ("v", "bob")]
    for thread_id, resource_id in dict.fromkeys(places):
        await memory.save_thread(ThreadRecord(thread_id, resource_id))
    await memory.save_messages([message(at, *place) for at, place in enumerate(places)])
    await memory.vectors.upsert(
        [
            MessageVector(f"m{at}", "one", f"d{at}", [math.cos(at / 2), math.sin(at / 2)])
            for at in range(len(places))
        ]
    )
    return memory.vectors


def message(number: int, thread_id: str = "t", resource_id: str = "ann") -> StoredMessage:
    content = {"format": 2, "parts": [{"type": "text", "text": f"№ {number}"}]}
    return StoredMessage(f"m{number}", thread_id, resource_id, "user", content, number)


async def near(vectors: Vectors, at: float, **options: Any) -> str:
    wanted: dict[str, Any] = {"model": "one", "top_k": 9, **options}
    found = await vectors.query([math.cos(at / 2), math.sin(at / 2)], **wanted)
    return "".join(match.message_id[1:] for match in found)


@pytest.mark.parametrize(
    ("at", "wanted", "found"),
    [
        (0, {}, "012345"),
        (3.2, {}, "342510"),
        (3.2, {"top_k": 2}, "34"),
        (3.2, {"thread_id": "t"}, "210"),
        (3.2, {"resource_id": "ann", "top_k": 3}, "342"),
        (3.2, {"resource_id": "bob"}, "5"),
        (3.2, {"resource_id": "bob", "thread_id": "t"}, ""),
        (3.2, {"threshold": 0.8}, "342"),
        (3.2, {"model": "other"}, ""),
    ],
)
async def test_the_nearest_messages_are_found(
    vectors: Vectors, at: float, wanted: Any, found: str
) -> None:
    assert await near(vectors, at, **wanted) == found


async def test_a_score_is_the_cosine(vectors: Vectors) -> None:
    [match] = await vectors.query([0.0, 7.0], model="one", top_k=1)
    assert match.message_id == "m3"
    assert match.score == pytest.approx(math.sin(1.5), abs=1e-6)


async def test_vectors_of_another_length_are_not_compared(vectors: Vectors) -> None:
    await vectors.upsert([MessageVector("m0", "one", "d", [1.0, 0.0, 0.0])])
    assert await near(vectors, 0) == "12345"


async def test_digests_tell_what_is_embedded(vectors: Vectors) -> None:
    assert await vectors.digests(["m1", "m3", "nobody"], model="one") == {"m1": "d1", "m3": "d3"}
    assert await vectors.digests(["m1"], model="other") == {}
    assert await vectors.digests([], model="one") == {}
    await vectors.upsert([MessageVector("m1", "one", "new", [1.0, 0.0])])
    await vectors.upsert([MessageVector("m1", "other", "its own", [1.0])])
    await vectors.upsert([])
    assert await vectors.digests(["m1"], model="one") == {"m1": "new"}
    assert await vectors.digests(["m1"], model="other") == {"m1": "its own"}


async def test_vectors_go_with_their_messages(memory: Any, vectors: Vectors) -> None:
    await memory.delete_messages(["m2"])
    await memory.delete_thread("u")
    assert await near(vectors, 0) == "015"
    await memory.save_messages([message(2)])
    assert await near(vectors, 0) == "015"


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({"message_ids": ["m0", "m5"]}, "1234"),
        ({"thread_id": "t"}, "345"),
        ({"resource_id": "ann"}, "5"),
        ({"message_ids": ["m3"], "thread_id": "v"}, "0124"),
        ({}, "012345"),
    ],
)
async def test_vectors_can_be_forgotten_without_their_messages(
    vectors: Vectors, which: dict[str, Any], left: str
) -> None:
    await vectors.delete(**which)
    assert "".join(sorted(await near(vectors, 0))) == left


async def test_a_vector_of_a_message_that_is_gone_is_dropped(vectors: Vectors) -> None:
    await vectors.upsert([MessageVector("nobody", "one", "d", [1.0, 0.0])])
    assert await vectors.digests(["nobody"], model="one") == {}


async def test_vectors_follow_a_message_to_another_thread(memory: Any, vectors: Vectors) -> None:
    await memory.save_messages([message(0, "v")])
    assert await near(vectors, 0, thread_id="v") == "05"


@pytest.mark.parametrize(
    ("ids", "before", "after", "found"),
    [
        ([], 1, 1, ""),
        (["m2"], 0, 0, "2"),
        (["m2"], 1, 0, "02"),
        (["m2"], 0, 9, "24"),
        (["m4", "m2", "m4", "nobody"], 1, 1, "024"),
        (["m4", "m1"], 1, 1, "1234"),
    ],
)
async def test_messages_are_found_with_those_around_them(
    memory: MemoryStore, ids: list[str], before: int, after: int, found: str
) -> None:
    await memory.save_messages(
        [message(number, "u" if number % 2 else "t") for number in (3, 0, 4, 1, 2)]
    )
    around = await memory.list_around(ids, before=before, after=after)
    assert "".join(item.id[1:] for item in around) == found


async def test_neighbours_of_one_moment_keep_their_order(memory: MemoryStore) -> None:
    same = [
        StoredMessage(name, "t", "ann", "user", {"format": 2, "parts": []}, 7) for name in "cab"
    ]
    await memory.save_messages(same)
    assert [m.id for m in await memory.list_around(["a"], before=1, after=1)] == list("cab")
    assert [m.id for m in await memory.list_around(["a"], before=1, after=0)] == list("ca")


async def test_a_long_search_finds_what_a_full_one_would(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra.storage.vectors._EXACT_PRODUCTS", 20_000)
    # More products than are made: sketches choose. The nearest are far nearer than the rest,
    # as messages on one subject are.
    draw = random.Random(7)
    size, count = 64, 600
    wanted = [draw.gauss(0, 1) for _ in range(size)]
    noise = {name: draw.choice((0.3, 0.4, 0.5)) for name in ("m11", "m170", "m599")}
    await memory.save_messages([message(number) for number in range(count)])
    await memory.vectors.upsert(
        [
            MessageVector(
                f"m{number}",
                "one",
                "",
                [draw.gauss(value, noise[name]) for value in wanted]
                if (name := f"m{number}") in noise
                else [draw.random() - 0.5 for _ in range(size)],
            )
            for number in range(count)
        ]
    )
    found = await memory.vectors.query(wanted, model="one", top_k=3)
    assert {match.message_id for match in found} == noise.keys()


def test_a_short_list_is_searched_exactly() -> None:
    vector = packed([1.0, 0.0])
    pairs = [(str(number), sketch_of(vector)) for number in range(1000)]
    assert len(shortlist(vector, pairs)) == 1000


def test_a_long_list_is_cut_to_what_may_be_multiplied() -> None:
    vector = packed([1.0] * 1500)
    far = sketch_of(packed([-1.0] * 1500))
    pairs = [(str(number), far) for number in range(2000)] + [("near", sketch_of(vector))]
    cut = shortlist(vector, pairs)
    assert len(cut) == 1000
    assert cut[0] == "near"
    assert ranked(vector, [("near", vector)], top_k=1)[0].score == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.nan], [math.inf, 1.0]])
def test_a_vector_without_a_direction_is_refused(values: list[float]) -> None:
    with pytest.raises(InputValidationError, match="no direction"):
        packed(values)
