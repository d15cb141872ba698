"""Appending to a journal, beside one insert and commit of the same row through the bare driver.

`python -m bench.storage`. Our side encodes the record as JSON each time; the bare side writes
text that it has. At ten times the size a run has ten times the rows.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from bench.__main__ import main
from bench.measure import Options, Row, Subject, compare, missing
from mastra.storage.base import RunHead, WorkflowStore
from mastra.storage.sql import SQLStorage
from mastra.workflows.records import StepRecord

__all__ = ["measure"]

GROUP = "storage"
ROWS = 500
"""How many rows a run gets."""
BRANCHES = 50

_numbers = itertools.count()


def record(number: int) -> StepRecord:
    """Return the finished record of a small step."""
    made = StepRecord(f"{number}.step-{number}", f"step-{number}", {"n": number}, 1_700_000_000_000)
    made.status = "success"
    made.output = {"n": number + 1, "text": "x" * 60}
    made.ended_at = 1_700_000_000_001
    made.order = number
    return made


async def new_run(store: WorkflowStore) -> str:
    """Store a run and return its id."""
    run_id = f"run-{next(_numbers):032d}"
    await store.create_run(RunHead("bench", run_id, "running"))
    return run_id


def one_by_one(store: WorkflowStore, rows: int) -> Subject:
    """Return the work of a run that stores a row at a time."""
    records = [record(number) for number in range(rows)]

    async def work() -> None:
        run_id = await new_run(store)
        append = store.append
        for made in records:
            pending = append("bench", run_id, [made])
            if pending is not None:
                await pending

    return Subject(work, rows)


def at_once(store: WorkflowStore, rows: int) -> Subject:
    """Return the work of runs that each store a row at the same time."""
    records = [record(number) for number in range(rows)]

    async def append(run_id: str, made: StepRecord) -> None:
        pending = store.append("bench", run_id, [made])
        if pending is not None:
            await pending

    runs: list[str] = []

    async def work() -> None:
        if not runs:
            runs.extend([await new_run(store) for _ in records])
        await asyncio.gather(*map(append, runs, records))

    return Subject(work, rows)


def bare_sqlite(path: Path, durability: str, rows: int) -> Subject:
    """Return the work of as many commits through `sqlite3`."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability}")
    connection.execute(
        "CREATE TABLE bare_rows (id INTEGER PRIMARY KEY, run INTEGER, key TEXT, data TEXT)"
    )
    data = record(1).encode().decode()

    async def work() -> None:
        for _ in range(rows):
            connection.execute(
                "INSERT INTO bare_rows (run, key, data) VALUES (?, ?, ?)", (1, "1.step-1", data)
            )

    return Subject(work, rows)


async def _sqlite(durability: Literal["normal", "full"], turns: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="mastra-bench-") as folder:
        limit = bare_sqlite(Path(folder) / "bare.db", durability, ROWS)
        url = f"sqlite:///{folder}/ours.db"
        name = f"SQLite, synchronous {durability.upper()}"
        async with SQLStorage(url, durability=durability) as storage:
            store = storage.workflows
            one = await compare(
                GROUP,
                f"{name}: one row",
                ours=one_by_one(store, ROWS),
                limit=limit,
                larger=one_by_one(store, ROWS * 10),
                turns=turns,
            )
            many = await compare(
                GROUP,
                f"{name}: one of {BRANCHES} at once",
                ours=at_once(store, BRANCHES),
                limit=limit,
                turns=turns,
            )
        return [one, many]


async def _postgres(turns: int) -> list[Row]:
    names = ["PostgreSQL: one row", f"PostgreSQL: one of {BRANCHES} at once"]
    try:
        # Loaded here: it needs what the tests need.
        from tests.support.postgres import MISSING, find_postgres  # noqa: PLC0415
    except ImportError as error:
        return missing(GROUP, names, str(error))
    import asyncpg  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="mastra-bench-", ignore_cleanup_errors=True) as folder:
        server = find_postgres(Path(folder))
        if server is None:
            return missing(GROUP, names, MISSING)
        server.start()
        try:
            connection: Any = await asyncpg.connect(server.url)
            await connection.execute(
                "CREATE TABLE bare_rows (id BIGSERIAL PRIMARY KEY, run INT, key TEXT, data TEXT)"
            )
            data = record(1).encode().decode()
            rows = ROWS // 10

            async def work() -> None:
                for _ in range(rows):
                    await connection.execute(
                        "INSERT INTO bare_rows (run, key, data) VALUES ($1, $2, $3)",
                        1,
                        "1.step-1",
                        data,
                    )

            limit = Subject(work, rows)
            async with SQLStorage(server.url) as storage:
                subjects: Sequence[tuple[str, Callable[[WorkflowStore, int], Subject], int]] = (
                    (names[0], one_by_one, rows),
                    (names[1], at_once, BRANCHES),
                )
                found = [
                    await compare(
                        GROUP,
                        name,
                        ours=make(storage.workflows, count),
                        limit=limit,
                        larger=make(storage.workflows, count * 10) if make is one_by_one else None,
                        turns=turns,
                        target=1.5,
                    )
                    for name, make, count in subjects
                ]
            await connection.close()
            return found
        finally:
            server.stop()


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    return [
        *await _sqlite("normal", options.turns(32)),
        *await _sqlite("full", options.turns(16)),
        *await _postgres(options.turns(16)),
    ]


if __name__ == "__main__":
    sys.exit(main(["--only", "storage", *sys.argv[1:]]))
