"""Chains whose every step is stored, beside a bare commit of one row a step.

Both sides validate the input and the output of every step. The bare side writes the output as
one row and commits, on the connection at hand.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from bench.measure import Options, Row, Subject, compare, missing
from bench.workflows import Number, chain, limit_target, same
from mastra import Mastra, SQLStorage

__all__ = ["measure"]

GROUP = "durable"
SIZE = 100
PUT = "INSERT INTO steps (run, key, data) VALUES (?, ?, ?)"
PUT_POSTGRES = "INSERT INTO bare_steps (run, key, data) VALUES ($1, $2, $3)"


@asynccontextmanager
async def stored(storage: SQLStorage) -> AsyncIterator[Callable[[int], Subject]]:
    """Give the work of a run of a chain whose every step is stored when the run ends."""
    sizes = (SIZE, SIZE * 10)
    async with (
        storage,
        Mastra(workflows={str(size): chain(size) for size in sizes}, storage=storage) as mastra,
    ):

        def subject(size: int) -> Subject:
            workflow: Any = mastra.get_workflow(str(size))

            async def work() -> None:
                result = await (await workflow.create_run()).start(input_data={"n": 1})
                result.unwrap()

            return Subject(work, size)

        yield subject


def bare_sqlite(path: Path, durability: str) -> Callable[[], Awaitable[object]]:
    """Return the work of a chain that commits one row a step through `sqlite3`."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability}")
    connection.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, run TEXT, key TEXT, data TEXT)")

    async def work() -> object:
        data: object = {"n": 1}
        for place in range(SIZE):
            value = await same(Number.model_validate(data))
            connection.execute(PUT, ("run", f"{place}.step", value.model_dump_json()))
            data = value.model_dump()
        return data

    return work


async def _sqlite(durability: Literal["normal", "full"], turns: int) -> Row:
    target, text = limit_target(60, 17) if durability == "normal" else (None, "")
    with tempfile.TemporaryDirectory(prefix="mastra-bench-") as folder:
        async with stored(
            SQLStorage(f"sqlite:///{folder}/ours.db", durability=durability)
        ) as subject:
            return await compare(
                GROUP,
                f"chain of {SIZE} on SQLite, synchronous {durability.upper()}, a step",
                ours=subject(SIZE),
                limit=Subject(bare_sqlite(Path(folder) / "bare.db", durability), SIZE),
                larger=subject(SIZE * 10),
                turns=turns,
                target=target,
                target_text=text,
            )


async def _postgres(name: str, turns: int) -> list[Row]:
    try:
        # Loaded here: it needs what the tests need.
        from tests.support.postgres import MISSING, find_postgres  # noqa: PLC0415
    except ImportError as error:
        return missing(GROUP, [name], str(error))
    import asyncpg  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="mastra-bench-", ignore_cleanup_errors=True) as folder:
        server = find_postgres(Path(folder))
        if server is None:
            return missing(GROUP, [name], MISSING)
        server.start()
        try:
            connection = await asyncpg.connect(server.url)
            await connection.execute(
                "CREATE TABLE bare_steps (id BIGSERIAL PRIMARY KEY, run TEXT, key TEXT, data TEXT)"
            )

            async def work() -> object:
                data: object = {"n": 1}
                for place in range(SIZE):
                    value = await same(Number.model_validate(data))
                    key, body = f"{place}.step", value.model_dump_json()
                    await connection.execute(PUT_POSTGRES, "run", key, body)
                    data = value.model_dump()
                return data

            async with stored(SQLStorage(server.url)) as subject:
                row = await compare(
                    GROUP,
                    name,
                    ours=subject(SIZE),
                    limit=Subject(work, SIZE),
                    larger=subject(SIZE * 10),
                    turns=turns,
                    target=1.5,
                )
            await connection.close()
            return [row]
        finally:
            server.stop()


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    return [
        await _sqlite("normal", options.turns(32)),
        await _sqlite("full", options.turns(16)),
        *await _postgres(f"chain of {SIZE} on PostgreSQL, a step", options.turns(16)),
    ]
