"""A row that cannot be read makes one entry of a list faulty, never the list."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mastra import Mastra, SQLStorage, create_workflow, step


@step
async def inc(n: int) -> int:
    return n + 1


@pytest.mark.parametrize("garbage", ["{", "\x00", "[]", '{"a": 1}'])
async def test_a_damaged_row_of_a_journal_spoils_its_own_run_alone(
    tmp_path: Path, garbage: str
) -> None:
    path = tmp_path / "runs.db"
    flow = create_workflow(id="w", input_schema=int, output_schema=int).then(inc).commit()
    async with Mastra(workflows={"w": flow}, storage=SQLStorage(f"sqlite:///{path}")) as mastra:
        workflow = mastra.get_workflow("w")
        for run_id in ("good", "bad"):
            await (await workflow.create_run(run_id)).start(1)
    with sqlite3.connect(path) as database:
        # Rows of a run lie side by side: those with the highest positions are of the last one.
        database.execute(
            "update mastra_workflow_journal set data = ? where position >> 32 = "
            "(select max(position) >> 32 from mastra_workflow_journal)",
            (garbage,),
        )
    database.close()
    async with Mastra(workflows={"w": flow}, storage=SQLStorage(f"sqlite:///{path}")) as mastra:
        workflow = mastra.get_workflow("w")
        listed = {info.run_id: info for info in (await workflow.list_runs()).runs}
        assert listed["good"].error is None
        assert listed["good"].result == 2
        assert listed["bad"].error is not None
        assert listed["bad"].error.code == "ROW_UNREADABLE"
        assert listed["bad"].status == "success"
        assert await mastra.restart_all_active_workflow_runs() == {}
