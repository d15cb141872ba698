"""What messages mean, in a SQL database: no extension of it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Delete, Select, delete, select
from sqlalchemy.sql.dml import Insert

from mastra.storage.sql.statements import (
    equal,
    in_chunks,
    insert_into,
    matches,
    named,
    padded,
)
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import message_vectors, messages
from mastra.storage.vectors import MessageMatch, MessageVector, packed, ranked, shortlist, sketch_of

__all__ = ["SQLVectors"]

_columns = message_vectors.c
_OF_MESSAGE = messages.c.message_key == _columns.message_key


class SQLVectors(SQLStore):
    """Keeps vectors beside the messages, which take them along when they are deleted."""

    async def upsert(self, vectors: Sequence[MessageVector]) -> None:
        """Store vectors, in place of older ones; those of unknown messages are dropped."""
        statement = self._statements.get(_save, self._dialect)
        writes = [
            (
                statement,
                {
                    "of_id": vector.message_id,
                    "new_model": vector.model,
                    "new_digest": vector.digest,
                    "new_sketch": sketch_of(stored),
                    "new_vector": stored,
                },
            )
            for vector in vectors
            for stored in (packed(vector.vector),)
        ]
        if writes:
            await self._database.change_all(writes, what=f"store {len(writes)} vectors")

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        """Return the digests of those messages that have a vector of this model."""
        rows = await self._by_id("digest", message_ids, model)
        return dict(rows)

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
        """Return the messages that are nearest, the nearest first."""
        scope = {"of_thread_id": thread_id, "of_resource_id": resource_id}
        values = {name: value for name, value in scope.items() if value is not None}
        sketches = await self._database.fetch(
            self._statements.get(_sketches, tuple(values)),
            {**values, "of_model": model},
            what="search messages",
        )
        pairs, wanted = [(name, sketch) for name, sketch in sketches], packed(vector)
        # Products are the processor's work, so that the event loop goes on meanwhile.
        names = await asyncio.to_thread(shortlist, wanted, pairs)
        found = await self._by_id("vector", names, model)
        return await asyncio.to_thread(ranked, wanted, found, top_k=top_k, threshold=threshold)

    async def delete(
        self,
        *,
        message_ids: Sequence[str] = (),
        thread_id: str | None = None,
        resource_id: str | None = None,
    ) -> None:
        """Forget vectors. Those of messages that are deleted go by themselves."""
        wanted = [("of_id", one) for one in message_ids]
        scope = (("of_thread_id", thread_id), ("of_resource_id", resource_id))
        wanted += [(name, value) for name, value in scope if value is not None]
        writes = [(self._statements.get(_delete, name), {name: value}) for name, value in wanted]
        if writes:
            await self._database.change_all(writes, what="delete vectors")

    async def _by_id(
        self, column: str, message_ids: Sequence[str], model: str
    ) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for chunk in in_chunks(message_ids):
            count, values = padded("id", chunk)
            statement = self._statements.get(_of_messages, column, count)
            rows = await self._database.fetch(
                statement, {**values, "of_model": model}, what="read vectors"
            )
            found += [(name, value) for name, value in rows]
        return found


def _save(dialect: str) -> Insert:
    given = ("model", "digest", "sketch", "vector")
    values = [named(f"new_{name}", _columns[name]).label(name) for name in given]
    # From the message itself: where it has been deleted meanwhile, there is nothing to store.
    found = select(messages.c.message_key, *values).where(*equal(messages, "of_id"))
    statement = insert_into(message_vectors, dialect).from_select(["message_key", *given], found)
    return statement.on_conflict_do_update(
        index_elements=["message_key", "model"],
        set_={name: statement.excluded[name] for name in given if name != "model"},
    )


def _delete(name: str) -> Delete:
    keys = select(messages.c.message_key).where(*equal(messages, name))
    return delete(message_vectors).where(_columns.message_key.in_(keys))


def _sketches(names: Iterable[str]) -> Select[str, Any]:
    return select(messages.c.id, _columns.sketch).where(
        _OF_MESSAGE, *equal(message_vectors, "of_model"), *equal(messages, *names)
    )


def _of_messages(column: str, count: int) -> Select[str, Any]:
    return select(messages.c.id, _columns[column]).where(
        _OF_MESSAGE,
        *equal(message_vectors, "of_model"),
        messages.c.id.in_(matches("id", messages.c.id, count)),
    )
