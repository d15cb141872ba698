"""A real run as a test: its records are kept, and a definition is walked over them.

No step runs: what each gave is known. What comes to light is what a changed definition would do
otherwise: steps that it asks for and the run did not have, steps that it does not ask for any more,
another order, another end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

from mastra.errors import ConfigError, DefinitionChangedError
from mastra.jsonable import Json, to_jsonable
from mastra.request_context import RequestContext
from mastra.storage.base import RunHead
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Body, Halt
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.journal import LoadedRun, load_run
from mastra.workflows.engines.lifecycle import begin
from mastra.workflows.engines.outcome import (
    Outcome,
    outcome_of_halt,
    outcome_of_value,
    result_of,
)
from mastra.workflows.engines.stored import no_such_run
from mastra.workflows.engines.walker import walk
from mastra.workflows.records import StepRecord, decode_record
from mastra.workflows.results import RunFacts, WorkflowResult
from mastra.workflows.run import Run
from mastra.workflows.spec import Unit, WorkflowSpec
from mastra.workflows.spec_forms import forms_of
from mastra.workflows.versions.choice import check_definition, spec_for
from mastra.workflows.workflow import Workflow

__all__ = ["RecordedRun", "ReplayedRun", "record_run"]

T = TypeVar("T")

_FORMAT: Final = 1
_COLUMNS: Final = ("status", "input", "result", "error", "state", "request_context", "data")
_NAMES: Final = ("workflowId", "runId", "operations", "blocks")
_ENDED_BY_ITSELF: Final = ("success", "failed", "tripwire", "suspended")


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """What came of walking a definition over the records of a run."""

    result: WorkflowResult[Any]
    """How the run would have ended; `paused` where a step is asked for that has no record."""
    changes: tuple[str, ...]
    """What is otherwise than in the recorded run, a sentence each; empty where nothing is."""

    @property
    def is_same(self) -> bool:
        """Whether the definition makes of the records what the run did."""
        return not self.changes

    def check(self) -> None:
        """Raise where something is otherwise.

        Raises:
            AssertionError: Something is; the message says what.
        """
        if self.changes:
            raise AssertionError("\n".join(("The recorded run changes:", *self.changes)))


class RecordedRun:
    """The records of one run, apart from the storage it was in. Made by `record_run`."""

    def __init__(self, data: dict[str, Any]) -> None:
        """Take what `to_json` gave.

        Raises:
            ConfigError: It is nothing that `to_json` gives.
        """
        found: Any = data
        is_one = isinstance(found, dict) and data.get("format") == _FORMAT
        if not is_one or any(name not in data for name in (*_NAMES, *_COLUMNS)):
            raise _no_recorded_run("This")
        self._data = data

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data. It holds what steps were given and gave, secrets included."""
        return self._data

    def save(self, path: str | Path) -> None:
        """Write it to a file, which is its owner's alone where there was none."""
        text = json.dumps(self._data, indent=1, ensure_ascii=False)
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return what `save` wrote.

        Raises:
            ConfigError: It is something else.
        """
        try:
            return cls(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, ConfigError):
            raise _no_recorded_run(str(path)) from None

    def _loaded(self) -> LoadedRun:
        data = self._data
        columns = {name: data[name] for name in _COLUMNS}
        loaded = LoadedRun(RunHead(data["workflowId"], data["runId"], **columns))
        for stored in data["operations"]:
            record = decode_record(stored)
            loaded.journal[record.op_id] = record
            loaded.order = max(loaded.order, record.order)
            if record.index is None and record.kind != "decision":
                loaded.latest[record.step_id] = record
        for stored in data["blocks"]:
            record = decode_record(stored)
            loaded.blocks[record.op_id] = loaded.latest[record.step_id] = record
        return loaded

    async def replay(self, workflow: Workflow[Any, Any, Any]) -> ReplayedRun:
        """Walk a definition over the records. No step, condition or map is run.

        Args:
            workflow: The definition, committed; where it keeps versions, the run's own.
        """
        loaded = self._loaded()
        head, spec = loaded.head, spec_for(workflow.spec, loaded.head)
        changes: list[str] = []
        try:
            check_definition(spec, loaded)
        except DefinitionChangedError as error:
            for what in ("added", "removed", "moved", "changed"):
                named = cast("list[str]", error.details.get(what) or [])
                changes += [f"Step {name!r} was {what}." for name in named]
        target = RunTarget(spec, workflow.runtime.store, head.run_id, None)
        run = begin(
            Command(
                kind="restart",
                target=target,
                resource_id=head.resource_id,
                input=head.input,
                initial_state=loaded.initial_state,
                request_context=RequestContext(head.request_context),
            ),
            loaded,
        )
        journal = run.journal = _Journal(loaded.journal)
        ops = _PlaybackOps(run)
        try:
            outcome = outcome_of_value(run, spec, await walk(run, ops, spec))
        except Halt as halt:
            outcome = outcome_of_halt(run, spec, halt)
        if head.status in _ENDED_BY_ITSELF:
            changes += [f"Operation {op!r} is asked for, and the run had none." for op in ops.asked]
            if run.reopening.travel is None:  # what stands before it is skipped
                unused = (op for op in loaded.journal if op not in journal.known)
                changes += [f"Operation {op!r} is not asked for any more." for op in unused]
            changes += _ends_of(head, outcome)
        suspended = [record for record in journal.values() if record.status == "suspended"]
        return ReplayedRun(result_of(_facts_of(run, spec), outcome, suspended), tuple(changes))


async def record_run(run: Run[Any]) -> RecordedRun:
    """Return the records of a run, wherever it ran and however it ended.

    Raises:
        RunNotFoundError: There is no such run.
    """
    store = run.runtime.store
    loaded = await load_run(store, run.workflow_id, run.run_id)
    if loaded is None:
        raise no_such_run(run.target)
    head = loaded.head
    columns = {name: getattr(head, name) for name in _COLUMNS}
    data: dict[str, Any] = {
        "format": _FORMAT,
        "workflowId": head.workflow_id,
        "runId": head.run_id,
        **columns,
        "operations": _stored(loaded.journal.values()),
        "blocks": _stored(loaded.blocks.values()),
    }
    return RecordedRun(cast("dict[str, Any]", to_jsonable(data, what="The run")))


def _no_recorded_run(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is no recorded run of format {_FORMAT}: record it anew with `record_run`."
    )


def _stored(records: Iterable[StepRecord]) -> list[Json]:
    return [record.to_stored() for record in records]


def _facts_of(run: ActiveRun, spec: WorkflowSpec) -> RunFacts:
    facts = RunFacts(
        run.run_id, run.workflow_id, run.input, run.state.values, run.latest, run.path, run.causes
    )
    facts.forms = forms_of(spec)
    return facts


def _ends_of(head: RunHead, outcome: Outcome) -> list[str]:
    """Say how the end differs."""
    if head.status != outcome.status:
        return [f"The run was {head.status}, and is {outcome.status}."]
    if head.status == "success" and head.result != outcome.raw:
        return [f"The result was {head.result!r}, and is {outcome.raw!r}."]
    before, after = (error and error.get("message") for error in (head.error, outcome.error))
    return [f"The error was {before!r}, and is {after!r}."] if before != after else []


class _Journal(dict[str, StepRecord]):
    """A journal that notes what a walk asked it for."""

    def __init__(self, records: dict[str, StepRecord]) -> None:
        super().__init__(records)
        self.known: set[str] = set()

    def get(self, op_id: str, default: Any = None) -> Any:
        self.known.add(op_id)
        return super().get(op_id, default)


class _PlaybackOps:
    """Runs nothing: an operation without a record ends its branch of the walk."""

    inline_delay_s = float("inf")
    max_sleep_s = None
    seeks_one = False

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self.asked: list[str] = []

    def admit(self, record: StepRecord) -> None:
        """Take what a step gave."""

    def admit_items(self, unit: Unit, step_id: str, count: int) -> None:
        """Take any number of items."""

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Note what is asked for, and end the branch."""
        del body
        self.asked.append(op_id)
        raise Halt("paused")

    async def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> list[T | Halt | None]:
        """Walk every branch, one after the other."""
        del limit
        results: list[T | Halt | None] = []
        for branch in branches:
            try:
                results.append(await branch())
            except Halt as halt:
                results.append(halt)
        return results

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Note that a sleep is asked for that was not slept."""
        return await self.record(record.op_id, partial(self.sleep, record))
