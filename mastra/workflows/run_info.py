"""A stored run as readers of listings see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, cast

from mastra.clock import iso_from_ms
from mastra.dataclass import dataclass
from mastra.errors import MastraError
from mastra.jsonable import Json
from mastra.names import python_names
from mastra.schema import SchemaMismatch
from mastra.workflows.describe import describe_nodes
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.outcome import item_of, labels_of, path_of
from mastra.workflows.error_data import error_from_json
from mastra.workflows.places import index_path
from mastra.workflows.records import StepRecord
from mastra.workflows.results import StepResult, step_to_wire
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.spec_forms import forms_of

__all__ = ["RunInfo", "RunList"]


_ENDED = frozenset({"success", "failed", "tripwire", "canceled"})


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@python_names
@dataclass(frozen=True)
class RunInfo:
    """A run at the moment of asking."""

    run_id: str
    workflow_id: str
    status: str
    input: Json
    """As JSON."""
    result: Any
    """The output, as a value of the workflow's type; `None` until there is one."""
    error: MastraError | None
    steps: Mapping[str, StepResult]
    state: Mapping[str, Json]
    resource_id: str | None
    created_at: datetime
    updated_at: datetime
    request_context: Mapping[str, Json]
    _loaded: LoadedRun = field(repr=False, compare=False)
    _spec: WorkflowSpec = field(repr=False, compare=False)

    @classmethod
    def of(cls, spec: WorkflowSpec, loaded: LoadedRun) -> RunInfo:
        """Return what storage tells of a run."""
        head, forms = loaded.head, forms_of(spec)
        result: Any = head.result
        if head.status == "success":
            try:
                result = spec.output_schema.unpack(head.result)
            except SchemaMismatch:
                result = head.result
        return cls(
            run_id=head.run_id,
            workflow_id=head.workflow_id,
            status=head.status,
            input=forms.takes.to_wire(head.input),
            result=result,
            error=None if head.error is None else error_from_json(head.error),
            steps={name: StepResult.of(forms.shown(r)) for name, r in loaded.latest.items()},
            state=forms.state.to_wire(head.state),
            resource_id=head.resource_id,
            created_at=_moment(head.created_at),
            updated_at=_moment(head.updated_at),
            request_context=head.request_context,
            _loaded=loaded,
            _spec=spec,
        )

    @property
    def suspend_payloads(self) -> list[Json]:
        """With what each operation that waits has suspended, those within blocks by themselves."""
        return [record.suspend_payload for record in self._suspended()]

    def _suspended(self) -> list[StepRecord]:
        return self._loaded.suspended

    def to_wire(
        self, fields: frozenset[str] | None = None, *, with_nested: bool = True
    ) -> dict[str, Json]:
        """Return Mastra's JSON of a stored run.

        Args:
            fields: Which of `result`, `error`, `payload`, `steps`, `activeStepsPath`,
                `serializedStepGraph` to add to the facts that are always there; `None` for all.
                What the run has not (an error, a result) is not there either.
            with_nested: Whether `steps` has those of nested workflows, as `nested.step`.
        """
        head, forms = self._loaded.head, forms_of(self._spec)
        wire: dict[str, Json] = {
            "runId": head.run_id,
            "workflowName": head.workflow_id,
            "resourceId": head.resource_id,
            "createdAt": iso_from_ms(head.created_at),
            "updatedAt": iso_from_ms(head.updated_at),
            "status": head.status,
        }
        optional: dict[str, Json] = {
            "payload": self.input,
            "steps": {
                name: step_to_wire(forms.shown(record))
                for name, record in self._loaded.latest.items()
                if with_nested or "." not in name  # which ids of steps never hold
            },
            "activeStepsPath": self._paths("running"),
            "serializedStepGraph": describe_nodes(self._spec),
            "suspendedPaths": {
                path_of(record)[0]: self._place(record) for record in self._suspended()
            },
            "resumeLabels": {**labels_of(self._suspended())},
            "waitingPaths": self._paths("waiting"),
        }
        # What a run has not is left out; an empty result is one.
        if head.status == "pending":
            del optional["payload"]
        if head.status == "success":
            optional["result"] = forms.gives.to_wire(head.result)
        if head.error is not None:
            optional["error"] = head.error
        if self._loaded.initial_state:
            optional["initialState"] = self._loaded.initial_state
        wanted = optional.keys() if fields is None else fields
        return wire | {name: value for name, value in optional.items() if name in wanted}

    def _paths(self, status: str) -> dict[str, Json]:
        return {
            name: self._place(record)
            for name, record in self._loaded.latest.items()
            # A run that has ended waits for nothing, whatever it waited for at its end.
            if record.status == status and not (status == "waiting" and self.status in _ENDED)
        }

    def _items(self, record: StepRecord) -> list[int | None]:
        """Return which item of a foreach something suspended stands in, or which ones it waits for."""
        inside = (one for one in self._suspended() if one.op_id.startswith(f"{record.op_id}["))
        return [item_of(record), *(item_of(one) for one in inside)]

    def to_snapshot(self) -> dict[str, Json]:
        """Return the run as Mastra's stored snapshot."""
        head, forms = self._loaded.head, forms_of(self._spec)
        context: dict[str, Json] = {} if head.status == "pending" else {"input": self.input}
        for name, record in self._loaded.latest.items():
            shown = forms.shown(record)
            context[name] = step_to_wire(shown)
            if record.status == "suspended":
                meta: dict[str, Json] = {"runId": head.run_id, "path": path_of(record)[1:]}
                items = [item for item in self._items(record) if item is not None]
                if items:
                    meta["foreachIndex"] = min(items)
                payload = shown.suspend_payload
                if isinstance(payload, dict):
                    context[name]["suspendPayload"] = {
                        **cast("dict[str, Json]", payload),
                        "__workflow_meta": meta,
                    }
        snapshot: dict[str, Json] = {
            "runId": head.run_id,
            "status": head.status,
            "timestamp": head.updated_at,
            "value": self.state,
            "context": context,
            "activePaths": self._active_path(),
            "activeStepsPath": self._paths("running"),
            "suspendedPaths": {
                path_of(record)[0]: self._place(record) for record in self._suspended()
            },
            "waitingPaths": self._paths("waiting"),
            "resumeLabels": {**labels_of(self._suspended())},
            "stepExecutionPath": head.data.get("path") or [],
            "serializedStepGraph": describe_nodes(self._spec),
            "requestContext": head.request_context,
        }
        ends = {"error": head.error, "tripwire": head.data.get("tripwire")}
        if head.status == "success":
            ends["result"] = forms.gives.to_wire(head.result)
        return {**snapshot, **{name: value for name, value in ends.items() if value is not None}}

    def _active_path(self) -> list[Json]:
        """Return the place of the last top-level entry that was begun."""
        places = [self._place(record)[:1] for record in self._loaded.latest.values()]
        return [*max(places)] if places else []

    def _place(self, record: StepRecord) -> list[int]:
        """Return the places of an operation in the graph, from the outside in."""
        return index_path(self._spec, record.op_id)


@python_names
@dataclass(frozen=True, slots=True)
class RunList:
    """A page of runs, the newest first, and how many there are in all."""

    runs: list[RunInfo]
    total: int
