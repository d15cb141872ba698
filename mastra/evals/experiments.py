"""Experiments: a dataset, a target and scorers, run as a workflow, so that a crash costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from mastra.clock import now_ms
from mastra.errors import ConfigError, MastraError, NotFoundError
from mastra.evals.datasets import Dataset, DatasetItem, store_of
from mastra.evals.experiment_results import (
    ExperimentItem,
    ExperimentResult,
    load_experiment,
    result_id,
)
from mastra.evals.experiment_scores import score_id
from mastra.evals.grading import Grade, Grading, grade, refuse_none
from mastra.evals.grading import grading_of as grading_of_given
from mastra.evals.scorer import Scorer
from mastra.evals.scores import judge_facts, score_data
from mastra.evals.targets import Answer, target_of
from mastra.evals.workers import RowQueue, each
from mastra.failures import name_of, text_of
from mastra.given import (
    COUNT,
    COUNT_FROM_1,
    MAPPING,
    SECONDS,
    TEXT,
    Form,
    check_given,
    having,
)
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.names import python_names, python_options
from mastra.observability.spans import apart
from mastra.services import Services
from mastra.storage.evals import EvalFilter, EvalRecord, EvalStore
from mastra.storage.in_process import InMemoryStorage
from mastra.workflows.engines.inprocess import InProcessEngine
from mastra.workflows.runtime import Runtime
from mastra.workflows.step import create_step
from mastra.workflows.workflow import Workflow, create_workflow

__all__ = ["Experiment"]

WORKFLOW_ID: Final = "mastra-experiment"
"""Under which the runs of experiments are stored; a run has the id of its experiment."""

OnItem = Callable[[ExperimentItem], Awaitable[None] | None]


_FORMS: Final = {
    "name": TEXT,
    "dataset": Form("a Dataset", lambda value: isinstance(value, Dataset)),
    "concurrency": COUNT_FROM_1,
    "repeats": COUNT_FROM_1,
    "max_retries": COUNT,
    "item_timeout_s": SECONDS,
    "mastra": having("a Mastra object", "list_agents", "storage"),
    "storage": having("a storage, such as SQLStorage(url)", "workflows"),
    "target_options": MAPPING,
    "description": TEXT,
    "metadata": MAPPING,
    "resource_id": TEXT,
}


@python_names
@python_options
class Experiment:
    """A dataset, a target and scorers. Each `run` is one experiment, stored item by item.

    It is a workflow of this library whose run has the id of the experiment: `run(experiment_id)`
    with the same id goes on where a killed process left off. Items that had ended are not run again.

    Args:
        name: What it is called.
        dataset: The items.
        target: An agent, a workflow, a scorer, or a function of the input.
        scorers: As of `run_evals`.
        gates: Scorers that must give 1 for every item.
        concurrency: How many items run at once.
        repeats: How often each item is run, since models do not always answer alike.
        max_retries: How often an item is tried again whose target failed.
        item_timeout_s: After how many seconds an item has failed; `None` waits.
        mastra: The application, in whose storage it is kept; left out, that of the target.
        storage: Where it is kept instead; without either, in memory.
        target_options: Options of the target: of `generate`, or of a run's `start`.
        description: What it is to find out.
        metadata: Facts for the application.
        resource_id: Whose it is.

    Raises:
        ConfigError: Something is none of these.
    """

    def __init__(
        self,
        name: str,
        *,
        dataset: Dataset,
        target: Any,
        scorers: Any = None,
        gates: Iterable[Any] | None = None,
        concurrency: int = 5,
        repeats: int = 1,
        max_retries: int = 0,
        item_timeout_s: float | None = None,
        mastra: Any = None,
        storage: Any = None,
        target_options: Mapping[str, Any] | None = None,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        resource_id: str | None = None,
    ) -> None:
        check_given("Experiment", locals(), _FORMS)
        if not len(dataset):
            raise ConfigError(f"Dataset {dataset.name!r} has no items to run.")
        for item in dataset:
            item.to_data()  # what cannot be stored is told before anything is run
        self.name = name
        self.dataset = dataset
        self.repeats = repeats
        self.target = target_of(target, target_options)
        self.target.resource_id = self.target.resource_id or resource_id
        mastra = mastra or self.target.mastra
        self.grading: Grading = grading_of_given(scorers, gates, mastra)
        if not self.grading:
            refuse_none("Experiment", scorers, gates)
        self._check_names()
        kept_in = storage or (InMemoryStorage() if mastra is None else mastra.storage)
        self.storage: Any = kept_in
        """Where it is kept; whoever made that closes it."""
        self._store: EvalStore = store_of(kept_in)
        self._max_retries = max_retries
        self._timeout_s = item_timeout_s
        self._about: dict[str, Any] = {"description": description, "metadata": metadata}
        self._resource_id = resource_id
        self._items = {item.id: item for item in dataset}
        self._concurrency = concurrency
        self._on_item: dict[str, OnItem | None] = {}
        """Who is told of each item, by the id of the experiment that is run."""
        self._engine = InProcessEngine()
        self._running = 0
        self._runs = kept_in.workflows
        self._workflow = self._made().bound_to(
            Runtime(self._engine, self._runs, cast("Services | None", mastra))
        )

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, {self.dataset!r}, {self.target.id!r})"

    def _check_names(self) -> None:
        names = [rule.name for rule in self.grading]
        if len(set(names)) < len(names):
            raise ConfigError(
                "Two scorers have the same id, and scores are told apart by that: "
                f"{', '.join(names)}."
            )

    def _made(self) -> Workflow[Any, Any, Any]:
        # What passes to the step and from it is plain JSON already.
        anything: Any = Any
        plain = {"input_schema": anything, "output_schema": anything}
        items = create_step(id="items", execute=self._run_items, **plain)
        return create_workflow(id=WORKFLOW_ID, **plain).then(items).commit()

    # -- running -------------------------------------------------------------------------------

    async def run(
        self, experiment_id: str | None = None, *, on_item_complete: OnItem | None = None
    ) -> ExperimentResult:
        """Run the experiment, or go on with it, and return what came of it.

        Args:
            experiment_id: Its id; left out, a new one. One that was begun goes on, and one that
                has ended is read.
            on_item_complete: Called with each item that is run here, sync or async.

        Raises:
            WorkflowFailedError: It could not come to its end.
            ConfigError: The id is that of an experiment with another dataset or target.
        """
        name = experiment_id or new_id()
        self._running += 1
        try:
            await self._run(name, on_item_complete)
        finally:
            self._on_item.pop(name, None)
            self._running -= 1
            if not self._running:
                # The storage is the caller's, who may close it: nothing looks into it from here on.
                await self._engine.aclose()
        return await self.result(name)

    async def _run(self, name: str, on_item_complete: OnItem | None) -> None:
        """Run what has not been run of an experiment."""
        record = await self._store.get("experiment", name)
        if record is None:
            await self._begin(name)
        else:
            self._check_same(record)
            if record.data.get("status") == "completed":
                return
            if record.data.get("status") != "running":
                await self._mark(name, {"status": "running", "startedAt": now_ms()})
        self._on_item[name] = on_item_complete
        places: Any = [
            [item.id, attempt] for item in self.dataset for attempt in range(self.repeats)
        ]
        known = await self._workflow.get_run(name)
        if known is not None and known.status not in ("running", "waiting"):
            # It ended before the experiment did. What is stored of items is in no run.
            places = known.input
            await self._runs.delete_run(WORKFLOW_ID, name)
            known = None
        run = await self._workflow.create_run(name, resource_id=self._resource_id)
        if known is None:
            result = await run.start(input_data=places)
        else:
            result = await run.restart()
        if result.status != "success":
            await self._mark(name, {"status": "failed", "completedAt": now_ms()})
        result.unwrap()

    async def begin(
        self, experiment_id: str | None = None, *, more: Mapping[str, Json] | None = None
    ) -> str:
        """Store the experiment without running it, and return its id.

        Args:
            experiment_id: Its id; left out, a new one.
            more: Further fields of its row.
        """
        name = experiment_id or new_id()
        if await self._store.get("experiment", name) is None:
            await self._begin(name, status="pending", more=more)
        return name

    async def aclose(self) -> None:
        """Stop what runs in this process; with a storage that outlives it, that goes on later."""
        await self._engine.aclose()

    async def result(self, experiment_id: str) -> ExperimentResult:
        """Return what came of it so far.

        Raises:
            NotFoundError: There is no such experiment.
        """
        return await load_experiment(self._store, experiment_id, grading=self.grading)

    def _check_same(self, record: EvalRecord) -> None:
        for what, mine in (("datasetId", self.dataset.id), ("targetId", self.target.id)):
            found = record.data.get(what)
            if found not in (None, mine):
                raise ConfigError(
                    f"Experiment {record.id!r} is there already, with {what} {found!r}, and this "
                    f"one has {mine!r}: give another id."
                )

    async def _begin(
        self, name: str, status: str = "running", more: Mapping[str, Json] | None = None
    ) -> None:
        about = {
            "name": self.name,
            "description": self._about["description"] or None,
            "metadata": self._about["metadata"],
            "datasetId": self.dataset.id,
            "datasetVersion": self.dataset.version,
            "targetType": self.target.type,
            "targetId": self.target.id,
            "scorerIds": [rule.scorer.id for rule in self.grading],
            "status": status,
            "totalItems": len(self.dataset) * self.repeats,
            "succeededCount": 0,
            "failedCount": 0,
            "skippedCount": 0,
            "startedAt": None if status == "pending" else now_ms(),
            **(more or {}),
        }
        data = {key: value for key, value in about.items() if value is not None}
        record = EvalRecord(
            "experiment", name, data, parent_id=self.dataset.id, resource_id=self._resource_id
        )
        await self._store.save([record])

    async def _mark(self, name: str, fields: Mapping[str, Json]) -> None:
        record = await self._store.get("experiment", name)
        if record is not None:
            changed = replace(record, data={**record.data, **fields}, updated_at=now_ms())
            await self._store.save([changed])

    # -- the workflow's step -------------------------------------------------------------------

    async def _run_items(self, ctx: Any) -> dict[str, Json]:
        """Run the items that have no row yet, and note the end of the experiment.

        The rows are what is kept of an item: a step of the workflow for each would store the same
        again, and cost more than the rest.
        """
        name: str = ctx.run_id
        positions: dict[str, int] = {}
        for item_id, _ in ctx.input_data:
            positions.setdefault(item_id, len(positions))
        left = {result_id(name, *place): place for place in ctx.input_data}
        total, failed = len(left), 0
        page = await self._store.list("experiment_result", EvalFilter(parent_id=name))
        for record in page.records:
            if left.pop(record.id, None) is not None:
                failed += "error" in record.data
        rows, tell = RowQueue(self._store), self._on_item.get(name)

        async def work(place: tuple[str, int]) -> None:
            nonlocal failed
            outcome = await self._outcome(*place, positions[place[0]])
            await rows.put(self._records(name, outcome))
            failed += "error" in outcome
            if tell is not None:
                told = tell(ExperimentItem.of(outcome))
                if told is not None:
                    await told

        # A trace for each item: one of the whole experiment could not be looked at.
        with apart():
            await each(left.values(), work, at_once=self._concurrency)
        counts = {"succeededCount": total - failed, "failedCount": failed}
        await self._mark(name, {"status": "completed", **counts, "completedAt": now_ms()})
        return {"failed": failed}

    async def run_one(self, experiment_id: str, item_id: str, attempt: int = 0) -> ExperimentItem:
        """Run one item, score it and store both; a second time takes the place of the first."""
        position = [*self._items].index(item_id)
        outcome = await self._outcome(item_id, attempt, position)
        await self._store.save(self._records(experiment_id, outcome))
        return ExperimentItem.of(outcome)

    async def _outcome(self, item_id: str, attempt: int, position: int) -> dict[str, Any]:
        """Run an item and score it; return all that came of it, as JSON."""
        item = self._items.get(item_id)
        began, answer, retries = now_ms(), None, 0
        error: Exception | None = None
        found: dict[str, Any] = {"itemId": item_id, "attempt": attempt, "position": position}
        if item is None:
            error = NotFoundError(f"Item {item_id!r} is no longer in the dataset.")
        else:
            answer, error, retries = await self._tried(item)
            found |= {key: value for key, value in item.to_data().items() if key in _OF_ITEM}
        if item is not None and answer is not None:
            grades = [await grade(rule, item, answer) for rule in self.grading]
            trace: Mapping[str, Any] = answer.trace or {}
            found |= {
                "output": answer.value,
                "durationMs": answer.duration_ms,
                "targetRunId": answer.run_id,
                "scores": {one.rule.name: _grade_data(one) for one in grades},
                **{key: trace[key] for key in ("traceId", "spanId") if key in trace},
            }
        if error is not None:
            code = error.code if isinstance(error, MastraError) else name_of(error)
            late = (
                f"It took more than {self._timeout_s:g} s."
                if _is_late(self._timeout_s, error)
                else ""
            )
            found["error"] = {"message": late or text_of(error), "code": code}
        return found | {"startedAt": began, "completedAt": now_ms(), "retryCount": retries}

    async def _tried(self, item: DatasetItem) -> tuple[Answer | None, Exception | None, int]:
        tries = 0
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self.target.run(item), None, tries
            except Exception as error:  # noqa: BLE001 - what is evaluated may raise anything
                if tries == self._max_retries:
                    return None, error, tries
                tries += 1

    def _records(self, experiment_id: str, outcome: dict[str, Any]) -> list[EvalRecord]:
        """Return the rows of an outcome: that of its result, and those of its scores."""
        item_id, attempt = outcome["itemId"], outcome["attempt"]
        result = EvalRecord(
            "experiment_result",
            result_id(experiment_id, item_id, attempt),
            {**outcome, "itemDatasetVersion": self.dataset.version},
            parent_id=experiment_id,
            subject=item_id,
            run_id=outcome.get("targetRunId") or None,
            trace_id=outcome.get("traceId"),
            resource_id=self._resource_id,
        )
        by_name = {rule.name: rule.scorer for rule in self.grading}
        return [
            result,
            *(
                self._score(experiment_id, outcome, name, by_name[name], found)
                for name, found in outcome.get("scores", {}).items()
                if found["score"] is not None and "error" not in found
            ),
        ]

    def _score(
        self,
        experiment_id: str,
        outcome: Mapping[str, Any],
        name: str,
        scorer: Scorer,
        found: Mapping[str, Any],
    ) -> EvalRecord:
        # As in the original, scores of an experiment are found by its id, and name the item.
        item_id = outcome["itemId"]
        data = {
            **score_data(scorer),
            **found,
            "runId": experiment_id,
            "entityType": self.target.entity_type,
            "entityId": item_id,
            "entity": {"id": self.target.id, "name": self.target.id},
            "source": "TEST",
            "input": outcome.get("input"),
            "output": outcome.get("output"),
            "traceId": outcome.get("traceId"),
            "spanId": outcome.get("spanId"),
            "resourceId": self._resource_id,
            "datasetId": self.dataset.id,
            "datasetItemId": item_id,
        }
        return EvalRecord(
            "score",
            score_id(experiment_id, item_id, outcome["attempt"], name),
            {key: value for key, value in data.items() if value is not None},
            parent_id=scorer.id,
            subject=f"{self.target.entity_type}/{item_id}",
            run_id=experiment_id,
            trace_id=outcome.get("traceId"),
            resource_id=self._resource_id,
        )


def _is_late(limit_s: float | None, error: Exception) -> bool:
    return limit_s is not None and isinstance(error, TimeoutError) and not str(error)


_OF_ITEM: Final = frozenset({"input", "groundTruth", "metadata"})


def _grade_data(one: Grade) -> dict[str, Json]:
    found: dict[str, Json] = {"score": one.score}
    if one.error is not None:
        found["error"] = one.error
    if one.result is not None:
        found |= one.result.stage_data()
        found["metadata"] = judge_facts(one.result)
    return found
