"""Where what a step or a workflow has given is offered to those that score live."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.services import Scorable
from mastra.workflows.active import ActiveRun
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.spec_forms import forms_of

__all__ = ["offer_output", "offer_step"]


def offer_step(
    run: ActiveRun, workflow_id: str, record: StepRecord, scorers: Mapping[str, Any]
) -> None:
    """Offer the output of a step, inside its operation and so once."""
    shown = run.log.forms.shown(record)
    entity: dict[str, Json] = {"id": workflow_id, "stepId": record.step_id}
    _offer(run, scorers, entity, shown.payload, shown.output)


def offer_output(run: ActiveRun, spec: WorkflowSpec, given: Json, output: Json) -> None:
    """Offer the output of a workflow that has scorers."""
    assert spec.scorers is not None  # noqa: S101 - who calls has looked
    forms = forms_of(spec)
    entity: dict[str, Json] = {"id": spec.id, "name": spec.id}
    given, output = forms.takes.to_wire(given), forms.gives.to_wire(output)
    _offer(run, spec.scorers, entity, given, output)


def _offer(
    run: ActiveRun, scorers: Mapping[str, Any], entity: dict[str, Json], given: Json, output: Json
) -> None:
    if run.services is None:
        return
    trace = None if run.span is None else run.span.to_stored()
    make = partial(
        Scorable,
        "WORKFLOW",
        entity,
        run.run_id,
        given,
        output,
        run.request_context.to_json(),
        run.resource_id,
        None,
        trace,
        is_structured=True,
    )
    try:
        run.services.score(scorers, run.run_id if trace is None else trace["traceId"], make)
    except Exception:  # noqa: BLE001 - what was given stays, whatever becomes of its scores
        get_logger({"run_id": run.run_id}).exception("Scorers of %r could not be asked", entity)
