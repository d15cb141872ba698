"""A vector store of the application's own, in place of the one beside the messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mastra import Agent, ConfigError, InMemoryStorage, Mastra
from mastra.memory import Memory, MessageMatch, MessageVector, Vectors
from mastra.storage.conversations import MemoryStore, StoredMessage, ThreadRecord
from mastra.testing import FunctionModel

SUBJECTS = ("cat", "car", "cake")
PAUL: Any = {"thread": "t1", "resource": "paul"}


def meaning(texts: Sequence[str]) -> list[list[float]]:
    """Return how much of each subject there is in each text."""
    return [[text.lower().count(subject) + 0.01 for subject in SUBJECTS] for text in texts]


class PlainVectors:
    """The simplest store there could be: a list of all that it was given."""

    def __init__(self) -> None:
        self.kept: list[MessageVector] = []

    async def upsert(self, vectors: Sequence[MessageVector]) -> None:
        fresh = {(vector.message_id, vector.model) for vector in vectors}
        self.kept = [v for v in self.kept if (v.message_id, v.model) not in fresh] + [*vectors]

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        of_model = [vector for vector in self.kept if vector.model == model]
        return {v.message_id: v.digest for v in of_model if v.message_id in message_ids}

    async def query(
        self,
        vector: Sequence[float],
        *,
        model: str,
        top_k: int,
        thread_id: str | None = None,
        resource_id: str | None = None,
        threshold: float | None = None,
    ) -> list[MessageMatch]:
        found = [
            MessageMatch(
                kept.message_id, sum(a * b for a, b in zip(vector, kept.vector, strict=True))
            )
            for kept in self.kept
            if kept.model == model
            and thread_id in (None, kept.thread_id)
            and resource_id in (None, kept.resource_id)
        ]
        near = [match for match in found if threshold is None or match.score >= threshold]
        return sorted(near, key=lambda match: -match.score)[:top_k]

    async def delete(
        self,
        *,
        message_ids: Sequence[str] = (),
        thread_id: str | None = None,
        resource_id: str | None = None,
    ) -> None:
        self.kept = [
            kept
            for kept in self.kept
            if kept.message_id not in message_ids
            and kept.thread_id != thread_id
            and kept.resource_id != resource_id
        ]


def remembering(vectors: Vectors, **options: Any) -> Memory:
    recall = {"top_k": 1, "message_range": 0}
    return Memory(embedder=meaning, semantic_recall=recall, vectors=vectors, **options)


async def filled(store: MemoryStore, memory: Memory) -> None:
    """Three messages of Paul's in two threads, one of Ann's."""
    said = [
        ("t1", "paul", "cat"),
        ("t1", "paul", "car"),
        ("t2", "paul", "cake"),
        ("t3", "ann", "cat"),
    ]
    for thread_id, resource_id in dict.fromkeys((where, who) for where, who, _ in said):
        await store.save_thread(ThreadRecord(thread_id, resource_id))
    await memory.store_messages(
        [
            StoredMessage(
                f"m{at}",
                where,
                who,
                "user",
                {"format": 2, "parts": [{"type": "text", "text": f"my {what}"}]},
                at,
            )
            for at, (where, who, what) in enumerate(said)
        ]
    )


async def test_messages_are_found_by_it_alone(store: MemoryStore) -> None:
    vectors = PlainVectors()
    memory = remembering(vectors, store=store)
    await filled(store, memory)
    [(message, score)] = await memory.search("a cake", resource_id="paul", top_k=1)
    assert (message.id, score) == ("m2", pytest.approx(1, abs=1e-3))
    assert {kept.message_id for kept in vectors.kept} == {"m0", "m1", "m2", "m3"}
    assert vectors.kept[3].resource_id == "ann"
    own: Any = store
    assert await own.vectors.digests(["m0"], model=vectors.kept[0].model) == {}


async def test_it_forgets_what_is_deleted(store: MemoryStore) -> None:
    vectors = PlainVectors()
    memory = remembering(vectors, store=store)
    await filled(store, memory)
    await memory.delete_messages(["m1"])
    await memory.delete_thread("t3")
    assert {kept.message_id for kept in vectors.kept} == {"m0", "m2"}


async def test_an_agent_recalls_by_it() -> None:
    vectors = PlainVectors()
    model = FunctionModel(lambda request: "Yes.")
    agent = Agent(id="a", model=model, memory=remembering(vectors, last_messages=2))
    asking = Mastra(agents=[agent], storage=InMemoryStorage()).get_agent("a")
    for text in ("I have a cat.", "And a car.", "And a bike."):
        await asking.generate(text, memory=PAUL)
    await asking.generate("What about my cat?", memory=PAUL)
    asked = [message.text for message in model.requests[-1].messages]
    assert "I have a cat." in asked
    assert "And a car." not in asked


async def test_a_store_without_vectors_needs_some() -> None:
    class Bare:
        """A store of conversations, and nothing else."""

        def __init__(self) -> None:
            self._store = InMemoryStorage().memory

        def __getattr__(self, name: str) -> Any:
            if name == "vectors":
                raise AttributeError(name)
            return getattr(self._store, name)

    memory = Memory(Bare(), semantic_recall=True, embedder=meaning)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Bare keeps no vectors"):
        await memory.recall(thread_id="t", resource_id="ann", last=0, search="cat")
