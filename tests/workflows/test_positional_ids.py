"""Runs of earlier releases, whose operations were called by their position, go on."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra import DefinitionChangedError, Mastra, SQLStorage, create_workflow
from tests.support import positional_flows as flows

DUMP = Path(__file__).parent / "data" / "positional_ids.sql"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The database that an earlier release has left."""
    path = tmp_path / "runs.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(DUMP.read_text())
    connection.close()
    flows.RAN.clear()
    return f"sqlite:///{path}"


@pytest.fixture
async def mastra(url: str) -> AsyncIterator[Mastra]:
    """The definitions by which its runs began, over it."""
    async with Mastra(workflows=flows.flows(), storage=SQLStorage(url)) as opened:
        yield opened


async def test_an_arm_that_waits_is_resumed(mastra: Mastra) -> None:
    run = await mastra.get_workflow("branching").create_run("branching")
    result: Any = await run.resume("yes")
    assert result.result == "{'ask': 'yes to 100'}"
    assert flows.RAN == ["ask", "finish"]


async def test_an_item_that_waits_is_resumed(mastra: Mastra) -> None:
    workflow = mastra.get_workflow("blocks")
    first = await (await workflow.create_run("blocks")).resume("yes")
    assert first.status == "suspended"
    result: Any = await (await workflow.create_run("blocks")).resume("no")
    assert result.result == "['yes to 4', 'no to 7']"
    assert flows.RAN == ["ask", "check 6", "ask", "ask", "finish"]


async def test_a_step_that_stands_twice_keeps_both_results(mastra: Mastra) -> None:
    result: Any = await (await mastra.get_workflow("twice").create_run("twice")).resume("ok")
    assert result.result == "{'ask': 'ok to 3'}"
    assert flows.RAN == ["ask", "finish"]


async def test_a_run_that_crashed_goes_on(mastra: Mastra) -> None:
    result: Any = await (await mastra.get_workflow("crashed").create_run("crashed")).restart()
    assert result.result == "102"
    assert flows.RAN == ["count", "finish"]


async def test_a_run_that_slept_goes_on(mastra: Mastra) -> None:
    result: Any = await (await mastra.get_workflow("sleeping").create_run("sleeping")).restart()
    assert result.result == "100"
    assert flows.RAN == ["finish"]


async def test_a_run_that_went_back_goes_on_and_back_again(mastra: Mastra) -> None:
    workflow = mastra.get_workflow("travelled")
    result: Any = await (await workflow.create_run("travelled")).resume("yes")
    assert result.result == "yes to 8"
    assert flows.RAN == ["ask", "finish"]
    again: Any = await (await workflow.create_run("travelled")).time_travel(step="check")
    assert again.status == "suspended"
    assert flows.RAN == ["ask", "finish", "check 100", "ask"]


async def test_all_that_were_cut_off_go_on(mastra: Mastra) -> None:
    restarted = await mastra.restart_all_active_workflow_runs()
    assert restarted == {"sleeping": ["sleeping"], "crashed": ["crashed"]}


async def test_what_moved_is_refused(url: str) -> None:
    changed = (
        create_workflow(id="crashed", input_schema=int, output_schema=Any)
        .then(flows.check)
        .then(flows.price)
        .then(flows.count)
        .then(flows.finish)
        .commit()
    )
    async with Mastra(workflows={"crashed": changed}, storage=SQLStorage(url)) as mastra:
        run = await mastra.get_workflow("crashed").create_run("crashed")
        with pytest.raises(DefinitionChangedError) as caught:
            await run.restart()
    assert caught.value.details["moved"] == ["price", "check"]
    assert flows.RAN == []


async def test_arms_that_changed_places_are_refused(url: str) -> None:
    changed = (
        create_workflow(id="branching", input_schema=int, output_schema=Any)
        .then(flows.price)
        .branch([(lambda _: True, flows.ask), (lambda _: False, flows.pay)])
        .map(lambda ctx: ctx.input_data)
        .then(flows.finish)
        .commit()
    )
    async with Mastra(workflows={"branching": changed}, storage=SQLStorage(url)) as mastra:
        run = await mastra.get_workflow("branching").create_run("branching")
        with pytest.raises(DefinitionChangedError):
            await run.resume("yes")
        assert await run.status() == "suspended"
    assert flows.RAN == []
