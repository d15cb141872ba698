"""Who may read a SQLite file: its owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mastra import create_step, create_workflow
from mastra.errors import StorageError
from mastra.storage.sql import SQLStorage
from mastra.testing.recording import RecordedRun, record_run
from tests.support.storage import TestRow, append, head

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name == "nt", reason="rights are others there"),
]


async def written(path: Path) -> dict[str, int]:
    store = SQLStorage(f"sqlite:///{path}")
    await store.open()
    try:
        await store.workflows.create_run(head())
        await append(store.workflows, "r", TestRow("a"))
        return {
            found.name: found.stat().st_mode & 0o777 for found in path.parent.glob(f"{path.name}*")
        }
    finally:
        await store.aclose()


@pytest.mark.parametrize("mask", [0o022, 0o000])
async def test_what_is_made_is_the_owners_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        modes = await written(tmp_path / "runs.db")
    finally:
        os.umask(before)
    assert modes == {"runs.db": 0o600, "runs.db-wal": 0o600, "runs.db-shm": 0o600}


async def test_a_file_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    path.chmod(0o640)
    assert set((await written(path)).values()) == {0o640}


async def test_what_a_link_leads_to_is_the_owner_s_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "runs.db").symlink_to(tmp_path / "data" / "kept.db")
    await written(tmp_path / "runs.db")
    assert (tmp_path / "data" / "kept.db").stat().st_mode & 0o777 == 0o600


async def test_a_recorded_run_is_the_owner_s_alone(tmp_path: Path) -> None:
    flow = create_workflow(id="flow", input_schema=int, output_schema=int)
    run = await flow.then(create_step(id="same", execute=lambda value: value)).commit().create_run()
    await run.start(1)
    recorded = await record_run(run)
    shared = tmp_path / "shared.json"
    shared.touch()
    shared.chmod(0o644)
    recorded.save(tmp_path / "run.json")
    recorded.save(shared)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert shared.stat().st_mode & 0o777 == 0o644
    assert RecordedRun.load(shared).to_json() == recorded.to_json()


async def test_a_folder_that_is_not_there_is_still_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Check that the folder is there"):
        await written(tmp_path / "no" / "runs.db")
