"""A process that appends to a journal and says after each row that it is stored.

Called with: URL, durability, run id, how many rows.
"""

import asyncio
import sys
from typing import Any

from mastra.storage.base import RunHead
from mastra.storage.sql import SQLStorage
from tests.support.storage import TestRow, append


async def main(url: str, durability: Any, run_id: str, count: int) -> None:
    """Append and print."""
    storage = SQLStorage(url, durability=durability)
    store = storage.workflows
    await store.create_run(RunHead("w", run_id, "running"))
    for number in range(count):
        await append(store, run_id, TestRow(f"k{number}", number))
        print(number, flush=True)  # noqa: T201
        if number % 20 == 0:
            await store.update_run("w", run_id, {"state": {"number": number}})
    await storage.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
