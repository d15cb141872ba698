"""Experiments that a server was asked for: begun in the background, gone on with after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mastra.errors import ConfigError, MastraError, NotFoundError, RunStateError
from mastra.evals.datasets import Dataset
from mastra.evals.experiment_results import ExperimentItem
from mastra.evals.experiments import Experiment
from mastra.failures import text_of
from mastra.jsonable import Json
from mastra.storage.evals import EvalRecord

__all__ = ["ExperimentOrder", "ExperimentRunner"]


@dataclass(frozen=True, slots=True)
class ExperimentOrder:
    """What somebody asks for."""

    dataset_id: str
    target_type: str | None = None
    """`agent`, `workflow` or `scorer`."""
    target_id: str | None = None
    scorer_ids: Sequence[str] = ()
    version: int | None = None
    """Of the dataset; left out, as it is."""
    concurrency: int = 5
    name: str | None = None
    request_context: Mapping[str, Any] | None = None
    resource_id: str | None = None
    experiment_id: str | None = None
    more: Mapping[str, Json] | None = None
    """Further fields of its row: description, metadata, grouping and so on."""

    @classmethod
    def of(cls, record: EvalRecord) -> ExperimentOrder:
        """Return what an experiment was that is stored."""
        data: dict[str, Any] = record.data
        order: dict[str, Any] = data.get("order") or {}
        return cls(
            str(record.parent_id),
            data.get("targetType"),
            data.get("targetId"),
            data.get("scorerIds") or (),
            data.get("datasetVersion"),
            order.get("concurrency", 5),
            data.get("name"),
            order.get("requestContext"),
            record.resource_id,
            record.id,
        )


class ExperimentRunner:
    """Runs experiments of one application in the background."""

    def __init__(self, mastra: Any) -> None:
        self._mastra = mastra
        self._tasks: set[asyncio.Task[None]] = set()
        self._experiments: set[Experiment] = set()

    async def made(self, order: ExperimentOrder) -> Experiment:
        """Return the experiment that is asked for.

        Raises:
            NotFoundError: There is no such dataset, target or scorer.
            ConfigError: The dataset is empty.
        """
        dataset = await Dataset.load(self._mastra, order.dataset_id, version=order.version)
        return Experiment(
            order.name or f"{dataset.name} on {order.target_id}",
            dataset=dataset,
            target=self._target(order),
            scorers=list(order.scorer_ids) or None,
            concurrency=order.concurrency,
            mastra=self._mastra,
            target_options={"request_context": order.request_context or {}},
            resource_id=order.resource_id,
        )

    def _target(self, order: ExperimentOrder) -> Any:
        if order.target_id is None:
            raise RunStateError("The experiment has no target: results are sent to it.")
        match order.target_type:
            case "agent":
                return self._mastra.get_agent_by_id(order.target_id)
            case "workflow":
                return self._mastra.get_workflow_by_id(order.target_id)
            case "scorer":
                return self._mastra.get_scorer_by_id(order.target_id)
            case _:
                raise ConfigError(f"There are no targets of the kind {order.target_type!r}.")

    async def start(self, order: ExperimentOrder) -> EvalRecord:
        """Store an experiment and begin it; return its row at once."""
        experiment = await self.made(order)
        told = {"concurrency": order.concurrency, "requestContext": order.request_context}
        kept: dict[str, Json] = {key: value for key, value in told.items() if value}
        name = await experiment.begin(
            order.experiment_id, more={**(order.more or {}), "order": kept}
        )
        self._go(experiment, name)
        found = await self._mastra.storage.evals.get("experiment", name)
        if found is None:
            raise NotFoundError(f"Experiment not found: {name}")
        return found

    def _go(self, experiment: Experiment, name: str) -> None:
        self._experiments.add(experiment)
        task = asyncio.get_running_loop().create_task(
            self._run(experiment, name), name=f"experiment {name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, experiment: Experiment, name: str) -> None:
        try:
            await experiment.run(name)
        except MastraError as error:
            self._mastra.logger.warning("Experiment %r did not end: %s", name, text_of(error))
        finally:
            self._experiments.discard(experiment)
            await experiment.aclose()

    async def run_item(
        self, order: ExperimentOrder, item_id: str, attempt: int
    ) -> tuple[Experiment, ExperimentItem]:
        """Run one item of an experiment, score it and store both."""
        experiment = await self.made(order)
        if item_id not in {item.id for item in experiment.dataset}:
            raise NotFoundError(f"Item not found: {item_id}")
        return experiment, await experiment.run_one(str(order.experiment_id), item_id, attempt)

    async def go_on(self) -> list[str]:
        """Go on with the experiments that were cut off; return their ids.

        Those that another live process runs are left to it.
        """
        page = await self._mastra.storage.evals.list("experiment")
        found: list[str] = []
        for record in page.records:
            if "order" not in record.data or record.data.get("status") not in (
                "pending",
                "running",
            ):
                continue
            try:
                self._go(await self.made(ExperimentOrder.of(record)), record.id)
            except MastraError as error:
                self._mastra.logger.warning(
                    "Experiment %r cannot go on: %s", record.id, text_of(error)
                )
            else:
                found.append(record.id)
        return found

    async def aclose(self) -> None:
        """Stop what runs; it goes on when the application starts again."""
        for experiment in list(self._experiments):
            await experiment.aclose()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
