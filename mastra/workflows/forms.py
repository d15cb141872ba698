"""What clients see of what is kept: records hold values by the names of their fields, the wire by alias."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.schema import ANY, Schema
from mastra.workflows.records import StepRecord
from mastra.workflows.written import Unpack

__all__ = ["PLAIN", "Forms", "StepForms"]

_PLACE = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class StepForms:
    """The types of one step's values."""

    flow: Schema[Any]
    """What flows in."""
    takes: Schema[Any]
    """What the step takes: of a foreach, one item of what flows in."""
    output: Schema[Any]
    outputs: Schema[Any]
    """What flows out: of a foreach, a list of outputs."""
    resume: Schema[Any] = ANY
    suspend: Schema[Any] = ANY
    unpack: Unpack | None = None
    """Reads what the step has written in a form of its own."""


@dataclass(frozen=True, slots=True)
class Forms:
    """The types of a workflow's values, by the names of its steps."""

    steps: Mapping[str, StepForms]
    takes: Schema[Any] = ANY
    gives: Schema[Any] = ANY
    state: Schema[Any] = ANY

    def shown(self, record: StepRecord) -> StepRecord:
        """Return a record as clients see it: itself, where that is how it is kept."""
        name = record.step_id
        about = self._about(name)
        if about is None:
            return record
        is_item = record.index is not None or name.endswith("]")
        payload, output = about.flow, about.output
        if is_item:
            payload = about.takes
        elif record.iteration is not None and record.iteration > 1:
            payload = about.output
        elif record.total is not None:
            output = about.outputs
        changed: dict[str, Json] = {}
        for field, schema in (
            ("payload", payload),
            ("output", output),
            ("resume_payload", about.resume),
            ("suspend_payload", about.suspend),
        ):
            kept = getattr(record, field)
            if kept is not None:
                told = schema.to_wire(kept)
                if told is not kept:
                    changed[field] = told
        if not changed:
            return record
        made = copy.copy(record)
        made.__dict__.update(changed)
        return made

    def _about(self, name: str) -> StepForms | None:
        return self.steps.get(_PLACE.sub("", name) if "[" in name else name)

    def gives_of(self, name: str) -> Schema[Any]:
        """Return the type of what a step gives, or one item of it: `inner.price`, `each[2]`."""
        about = self._about(name)
        if about is None:
            return ANY
        return about.output if name.endswith("]") else about.outputs

    def unpack_of(self, record: StepRecord) -> Unpack | None:
        """Return what reads what a step has written in a form of its own."""
        about = self._about(record.step_id)
        return None if about is None else about.unpack

    def item_of(self, record: StepRecord, kept: Json) -> Json:
        """Return what clients see of what one item of a foreach gave."""
        about = self._about(record.step_id)
        return kept if about is None else about.output.to_wire(kept)


PLAIN: Final = Forms({})
"""Shows everything as it is kept."""
