"""What the facts of an event answer to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mastra.workflows.event_payload import EventPayload


def test_facts_have_python_names_and_times_are_times() -> None:
    payload = EventPayload({"stepName": "price", "startedAt": 1500, "output": {"n": 1}})

    assert (payload.step_name, payload.output) == ("price", {"n": 1})
    assert payload.started_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)


def test_a_fact_that_does_not_apply_is_none_and_a_misspelt_one_an_error() -> None:
    payload: Any = EventPayload({"stepName": "price"})

    assert payload.iteration_status is None
    with pytest.raises(AttributeError, match="ouput"):
        _ = payload.ouput
    with pytest.raises(AttributeError, match="In Python it is 'step_name'"):
        _ = payload.stepName


def test_facts_are_there_as_json_too() -> None:
    payload = EventPayload({"stepName": "price", "startedAt": 1500})

    assert (payload["stepName"], payload["step_name"], payload["startedAt"]) == (
        "price",
        "price",
        1500,
    )
    assert dict(payload) == payload.to_wire()
    assert [*payload] == ["stepName", "startedAt"]
    assert (payload.get("output"), payload.get("output", 1), payload.get("stepName")) == (
        None,
        1,
        "price",
    )
    assert "step_name" in payload
    assert "output" not in payload
    with pytest.raises(KeyError, match="output"):
        payload["output"]


def test_what_another_release_tells_beyond_is_there() -> None:
    payload: Any = EventPayload(lambda: {"waitedFor": 3})

    assert payload.waited_for == 3
    assert "waited_for" in payload
