"""The limit: asyncio, pydantic and sqlite3 by hand."""

from __future__ import annotations

from bench import workflows
from bench.durable import bare_sqlite
from bench.measure import Subject
from bench.peers.timing import main

if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": lambda size, _: Subject(
                lambda: workflows.bare_chain(size), size
            ),
            "chain of 100, a step": lambda size, _: Subject(
                lambda: workflows.bare_chain(size), size
            ),
            "parallel of 50, a branch": lambda size, _: Subject(
                lambda: workflows.bare_parallel(size), size
            ),
            "foreach over 1,000, an item": lambda size, _: Subject(
                lambda: workflows.bare_foreach_gather(size), size
            ),
            "loop of 1,000, an iteration": lambda size, _: Subject(
                lambda: workflows.bare_loop(size), size
            ),
            "step and branch of two, a run": lambda size, _: Subject(workflows.bare_branch, size),
            "chain of 100 in SQLite, a step": lambda size, folder: Subject(
                bare_sqlite(folder / "bare.db", "normal"), size
            ),
        }
    )
