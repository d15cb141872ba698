"""The facts of an event of a run, as attributes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, overload

from mastra.jsonable import Json
from mastra.names import FieldsByName, camel, missing_attribute

__all__ = ["EventPayload"]

T = TypeVar("T")


class _Fact(Generic[T]):
    """One fact by its name in Python; `None` where it does not apply to the event."""

    __slots__ = ("wire",)

    def __set_name__(self, owner: type, name: str) -> None:
        self.wire = camel(name)

    @overload
    def __get__(self, payload: None, owner: type) -> Self: ...
    @overload
    def __get__(self, payload: EventPayload, owner: type) -> T | None: ...
    def __get__(self, payload: EventPayload | None, owner: type) -> Self | T | None:
        return self if payload is None else self.read(payload.to_wire().get(self.wire))

    def read(self, value: Any) -> T | None:
        return value


class _Moment(_Fact[datetime]):
    """A time, in UTC; on the wire in milliseconds since 1970."""

    __slots__ = ()

    def read(self, value: Any) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


class EventPayload(FieldsByName):
    """An event's facts. Which apply depends on its type; one that does not is `None`.

    Made of the facts, or of a function that puts them together when the first is asked for:
    readers look at the type of each event and at the facts of a few.

    Raises:
        AttributeError: No event has a fact of that name.
    """

    __slots__ = ("_facts",)

    workflow_id: Final = _Fact[str]()
    """Of `workflow-start`."""
    id: Final = _Fact[str]()
    """The step's id, with those of the workflows it is nested in; of all events of a step."""
    step_name: Final = _Fact[str]()
    """The same id."""
    step_call_id: Final = _Fact[str]()
    """The same for all events of one call of the step."""
    payload: Final = _Fact[Any]()
    """The step's input, as JSON."""
    status: Final = _Fact[str]()
    """The step's status."""
    output: Final = _Fact[Any]()
    """What the step gave or wrote; of `workflow-finish` a dict with `usage`."""
    error: Final = _Fact[dict[str, Json]]()
    """What the step failed with: `message`, `name` and what else is known."""
    tripwire: Final = _Fact[dict[str, Json]]()
    """Why a processor stopped it."""
    started_at: Final = _Moment()
    ended_at: Final = _Moment()
    suspend_payload: Final = _Fact[Any]()
    """What the step suspended with."""
    suspended_at: Final = _Moment()
    resume_payload: Final = _Fact[Any]()
    """What the step was resumed with."""
    resumed_at: Final = _Moment()
    metadata: Final = _Fact[dict[str, Json]]()
    """`iterationCount` of a step in a loop; of `workflow-finish` what it failed with."""
    run_id: Final = _Fact[str]()
    """Of what a step wrote."""
    completed_count: Final = _Fact[int]()
    """Of a foreach's progress: how many items have succeeded."""
    total_count: Final = _Fact[int]()
    """Of a foreach's progress: how many items there are."""
    current_index: Final = _Fact[int]()
    """Of a foreach's progress: which item it is about, from 0."""
    iteration_status: Final = _Fact[str]()
    """Of a foreach's progress: `success`, `suspended` or `failed`."""
    iteration_output: Final = _Fact[Any]()
    """Of a foreach's progress: what the item gave."""
    workflow_status: Final = _Fact[str]()
    """Of `workflow-finish`: the run's status."""
    final_workflow_result: Final = _Fact[Any]()
    """Of `workflow-finish`: the run's output, as JSON."""

    def __init__(self, facts: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        self._facts = facts

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON of the payload."""
        facts = self._facts
        if callable(facts):
            facts = self._facts = facts()
        return facts

    if not TYPE_CHECKING:  # a checker knows the names

        def __getattr__(self, name: str) -> Any:
            # What a run of another release or language tells beyond what is known here.
            facts = self.to_wire() if name.islower() and name[0] != "_" else {}
            wire = camel(name)
            return facts[wire] if wire in facts else missing_attribute(self, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventPayload) and self.to_wire() == other.to_wire()

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"EventPayload({self.to_wire()})"
