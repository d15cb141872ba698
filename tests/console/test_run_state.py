"""What the page of a run makes of the events it hears, in any order in which they may come."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.console import run_state
from mastra.console.run_state import RunState
from mastra.console.show import ago


def event(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "payload": payload}


def follow(*events: dict[str, Any], status: str = "pending") -> RunState:
    state = RunState(status, {})
    for one in events:
        state.take(one)
    return state


@pytest.mark.parametrize("ends", ["paused", "canceled"])
def test_a_run_that_is_held_or_given_up_is_said_to_be(ends: str) -> None:
    assert follow(event("workflow-start"), event(f"workflow-{ends}")).status == ends


def test_how_far_a_foreach_is_outlives_what_storage_tells_of_its_step() -> None:
    told = event("workflow-step-progress", stepName="each", completedCount=3, totalCount=10)
    # Whoever reads on from the middle hears of progress before they hear that the step began.
    state = follow(told, event("workflow-step-waiting", stepName="each", status="waiting"))
    assert state.attempt_of("each") == "items 3/10"
    state.know({"each": {"status": "running"}, "other": {"status": "pending"}})
    assert (state.steps["each"]["status"], state.attempt_of("each")) == ("running", "items 3/10")
    assert state.attempt_of("other") == ""


def test_what_a_step_writes_is_read_whatever_it_is() -> None:
    chunk = {"type": "text-delta", "payload": {"text": "said"}}
    wrote = [event("workflow-step-output", stepName="s", output=one) for one in ("a ", chunk, 7)]
    silent = event("workflow-step-output", stepName="s", output={"type": "finish", "payload": {}})
    state = follow(*wrote, silent)
    assert state.written["s"] == ["a ", "said", "7\n"]


def test_a_step_that_writes_without_end_is_shown_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_state, "_MOST_WRITTEN", 10)
    wrote = [event("workflow-step-output", stepName="s", output=one) for one in ("x" * 10, "more")]
    state = follow(*wrote)
    assert state.written["s"] == ["x" * 10]
    # A new attempt begins with nothing, and one that was resumed goes on.
    state.take(event("workflow-step-start", stepName="s", resumedAt=1))
    assert state.written["s"] == ["x" * 10]
    state.take(event("workflow-step-start", stepName="s", startedAt=1))
    state.take(wrote[1])
    assert state.written["s"] == ["more"]


def test_events_that_say_nothing_of_a_run_are_counted_and_change_nothing() -> None:
    own = {"type": "my-own", "seq": 4, "text": "hello"}
    state = follow(event("workflow-start"), own, {"type": "my-own", "payload": "text"})
    assert (state.status, state.steps, state.seq) == ("running", {}, 6)


@pytest.mark.parametrize(
    ("ms", "told"),
    [(999, "999 ms"), (1000, "1.0 s"), (60_000, "1 min 0 s"), (5_400_000, "1 h 30 min")],
)
def test_times_are_told_as_people_say_them(ms: float, told: str) -> None:
    assert ago(ms) == told
