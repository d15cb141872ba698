"""Datasets that are stored: changed, taken apart and deleted, with what hangs on them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from mastra import InMemoryStorage, Mastra, create_step, create_workflow
from mastra.errors import ConfigError, NotFoundError, RunStateError, StorageError
from mastra.evals import Dataset, Experiment, create_scorer
from mastra.evals.catalogue import Datasets
from mastra.evals.running import ExperimentOrder, ExperimentRunner
from mastra.storage.evals import EvalFilter, InMemoryEvals

pytestmark = pytest.mark.anyio

ITEMS = [{"id": name, "input": name} for name in ("one", "two", "three")]


def echo(text: str) -> str:
    return text


async def stored(mastra: Mastra) -> tuple[Datasets, str]:
    """Store a dataset and an experiment with it."""
    always = create_scorer(id="always", description="").generate_score(lambda _: 1)
    dataset = await Dataset("words", ITEMS, id="d").save(mastra)
    experiment = Experiment("e", dataset=dataset, target=echo, scorers=[always], mastra=mastra)
    await experiment.run("e1")
    return Datasets(mastra.storage.evals), "d"


async def subjects(mastra: Mastra, kind: Any, **where: Any) -> list[str | None]:
    page = await mastra.storage.evals.list(kind, EvalFilter(**where), is_ascending=True)
    return [one.subject for one in page.records]


async def test_a_dataset_is_found_by_its_id_or_its_name() -> None:
    mastra = Mastra()
    datasets, _ = await stored(mastra)
    for name in ("d", "words"):
        assert (await datasets.find(name)).id == "d"
        assert len(await Dataset.load(mastra, name)) == 3
    with pytest.raises(NotFoundError, match=r"no dataset 'other'\. Known: 'words'"):
        await Dataset.load(mastra, "other")
    with pytest.raises(NotFoundError, match="Dataset not found: other"):
        await datasets.update("other", {"name": "new"})
    with pytest.raises(NotFoundError, match="no version 7: its last is"):
        await Dataset.load(mastra, "d", version=7)


async def test_an_item_is_changed_as_a_new_version() -> None:
    datasets, name = await stored(Mastra())
    before = (await datasets.get(name)).version
    changed = await datasets.change_item(name, "two", {"input": "zwei", "metadata": {"a": 1}})
    assert changed.data["input"] == "zwei"
    assert (await datasets.item(name, "two", version=before)).data["input"] == "two"
    await datasets.change_item(name, "two", {"metadata": None})
    assert "metadata" not in (await datasets.item(name, "two")).data
    with pytest.raises(NotFoundError, match="Item not found: four"):
        await datasets.change_item(name, "four", {"input": "vier"})


class Contended(InMemoryEvals):
    """A store in which somebody else changes the dataset between a look at it and a change."""

    def __init__(self, rivals: int) -> None:
        super().__init__()
        self.rivals = rivals

    async def save(self, records: Any, **options: Any) -> bool:
        if options.get("guard") is not None and self.rivals > 0:
            left, self.rivals = self.rivals - 1, 0
            await Datasets(self).update("d", {"tags": [str(left)]})
            self.rivals = left
        return await super().save(records, **options)


async def test_changes_of_others_between_look_and_change_are_kept() -> None:
    store = Contended(0)
    await Dataset("words", ITEMS, id="d").save(store)
    store.rivals = 3
    await Datasets(store).put("d", {"four": {"input": "four"}})
    now = await Datasets(store).get("d")
    assert (now.data["tags"], now.version) == (["0"], 2)
    assert [row.subject for row in await Datasets(store).items("d")][-1] == "four"


async def test_a_dataset_that_others_change_all_the_time_is_given_up() -> None:
    store = Contended(0)
    await Dataset("words", ITEMS, id="d").save(store)
    store.rivals = 1000
    with pytest.raises(StorageError, match="'d' is changed by others all the time, and 20 tries"):
        await Datasets(store).put("d", {"four": {"input": "four"}})
    assert len(await Datasets(store).items("d")) == len(ITEMS)


async def test_an_item_that_is_removed_is_still_in_older_versions() -> None:
    datasets, name = await stored(Mastra())
    before = (await datasets.get(name)).version
    await datasets.remove(name, ["two", "never there"])
    assert [row.subject for row in await datasets.items(name)] == ["one", "three"]
    assert len(await datasets.items(name, version=before)) == 3
    after = (await datasets.get(name)).version
    await datasets.remove(name, ["two"])
    assert (await datasets.get(name)).version == after  # nothing was changed


async def test_an_item_that_is_purged_leaves_nothing_behind() -> None:
    mastra = Mastra()
    datasets, name = await stored(mastra)
    await datasets.purge(name, "two")
    assert await datasets.history(name, "two") == []
    assert await subjects(mastra, "experiment_result", parent_id="e1") == ["one", "three"]
    assert len(await subjects(mastra, "score", run_id="e1")) == 2
    with pytest.raises(NotFoundError, match="Item not found: two"):
        await datasets.purge(name, "two")


async def test_a_dataset_that_is_deleted_leaves_its_experiments() -> None:
    mastra = Mastra()
    datasets, name = await stored(mastra)
    await datasets.delete(name)
    assert await datasets.list() == []
    assert await subjects(mastra, "dataset_item") == []
    record = await mastra.storage.evals.get("experiment", "e1")
    assert record is not None
    assert (record.parent_id, record.data["datasetId"]) == (None, None)
    with pytest.raises(NotFoundError):
        await datasets.delete(name)


async def test_what_is_no_storage_keeps_no_dataset() -> None:
    with pytest.raises(ConfigError, match="kept in a Mastra or a storage, not in a str"):
        await Dataset("words", ITEMS).save("sqlite:///evals.db")
    await Dataset("words", ITEMS).save(InMemoryStorage())
    with pytest.raises(ConfigError, match="needs a name"):
        Dataset("", ITEMS)


# -- experiments that a server is asked for ----------------------------------------------------


async def test_a_scorer_is_a_target_too() -> None:
    mastra = Mastra()
    length = create_scorer(id="length", description="").generate_score(lambda c: len(c.run.output))
    mastra.add_scorer(length)
    await stored(mastra)
    runner = ExperimentRunner(mastra)
    order = ExperimentOrder("d", "scorer", "length", experiment_id="e2")
    experiment, item = await runner.run_item(order, "three", 0)
    assert (experiment.name, item.output) == ("words on length", {"score": 5, "reason": None})
    assert await subjects(mastra, "experiment_result", parent_id="e2") == ["three"]
    with pytest.raises(NotFoundError, match="Item not found: four"):
        await runner.run_item(order, "four", 0)


async def test_what_is_no_target_is_refused() -> None:
    mastra = Mastra()
    await stored(mastra)
    runner = ExperimentRunner(mastra)
    with pytest.raises(ConfigError, match="no targets of the kind 'tool'"):
        await runner.start(ExperimentOrder("d", "tool", "x"))
    with pytest.raises(RunStateError, match="has no target"):
        await runner.start(ExperimentOrder("d"))
    await runner.aclose()


async def test_an_item_that_has_gone_meanwhile_fails_alone() -> None:
    mastra = Mastra()
    await stored(mastra)
    dataset = await Dataset.load(mastra, "d")
    experiment = Experiment("e", dataset=dataset, target=echo, mastra=mastra)
    name = await experiment.begin("e3")
    assert await experiment.begin("e3") == name  # asked for twice, begun once
    await experiment.run(name)
    fewer = Dataset("words", ITEMS[:1], id="d")
    shrunk = Experiment("e", dataset=fewer, target=echo, mastra=mastra)
    with pytest.raises(ValueError, match="two"):
        await shrunk.run_one(name, "two")
    result = await shrunk.run(name)
    assert result.status == "completed"
    assert len(result.items) == 3


async def test_what_was_cut_off_goes_on_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()
    calls: list[str] = []

    async def look(text: str) -> str:
        calls.append(text)
        started.set()
        if len(calls) == 1:
            await asyncio.Event().wait()
        return text

    step = create_step(id="look", input_schema=str, output_schema=str, execute=look)
    flow = create_workflow(id="flow", input_schema=str, output_schema=str).then(step).commit()
    mastra = Mastra(workflows=[flow])
    await stored(mastra)  # has ended
    await Experiment(
        "own", dataset=await Dataset.load(mastra, "d"), target=echo, mastra=mastra
    ).begin("own")  # begun by a program, whose target no server knows
    runner = ExperimentRunner(mastra)
    order = ExperimentOrder("d", "workflow", "flow", concurrency=1)
    record = await runner.start(order)
    await started.wait()
    await runner.aclose()
    after = ExperimentRunner(mastra)
    assert await after.go_on() == [record.id]
    while (now := await mastra.storage.evals.get("experiment", record.id)).data[
        "status"
    ] != "completed":
        await asyncio.sleep(0)
    await after.aclose()
    await after.aclose()  # nothing is left to stop
    assert now.data["succeededCount"] == 3
    assert sorted(calls) == ["one", "one", "three", "two"]
    # What it ran on may have gone by then: it is said, and the others go on.
    await runner.start(ExperimentOrder("d", "workflow", "flow", experiment_id="e9"))
    await runner.aclose()
    with caplog.at_level(logging.WARNING):
        assert await ExperimentRunner(Mastra(storage=mastra.storage)).go_on() == []
    assert "Experiment 'e9' cannot go on" in caplog.text
