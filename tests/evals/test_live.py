"""Scoring while an application runs: it takes its time and its failures nowhere else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, Mastra, create_step, create_workflow
from mastra.evals import (
    Scorer,
    create_scorer,
    create_trajectory_accuracy_scorer_code,
    live,
    not_scorable,
)
from mastra.evals.live import is_sampled
from mastra.evals.scores import score_to_wire
from mastra.observability import Observability
from mastra.storage.evals import EvalFilter
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.tool import tool

pytestmark = pytest.mark.anyio


class Value(BaseModel):
    value: int


@tool
async def look(city: str) -> str:
    """Look."""
    return f"sunny in {city}"


def scorer(name: str, score: Any) -> Scorer:
    return create_scorer(id=name, description=name, type="agent").generate_score(score)


async def rows(mastra: Mastra, **where: str) -> list[dict[str, Any]]:
    await mastra.live_scores.drain()
    page = await mastra.storage.evals.list("score", EvalFilter(**where), is_ascending=True)
    return [score_to_wire(record) for record in page.records]


async def test_an_answer_is_scored_and_the_score_names_run_and_trace() -> None:
    length = scorer("length", lambda ctx: len(ctx.run.output[0]["content"]["content"]))
    agent = Agent(
        id="a",
        name="Anna",
        instructions="Be kind.",
        model=ScriptedModel(["hello there"]),
        scorers={"length": {"scorer": length}},
    )
    mastra = Mastra(agents=[agent], observability=Observability())
    memory = {"thread": "t1", "resource": "ada"}
    result = await mastra.get_agent("a").generate("hi", memory=memory)
    (row,) = await rows(mastra)
    assert row["score"] == 11
    assert (row["runId"], row["entityType"], row["entityId"]) == (result.run_id, "AGENT", "a")
    assert (row["threadId"], row["resourceId"]) == ("t1", "ada")
    assert result.trace is not None
    assert row["traceId"] == result.trace["traceId"]
    assert row["spanId"] == result.trace["spanId"]
    assert row["scorer"] == {
        "id": "length",
        "name": "length",
        "description": "length",
        "hasJudge": False,
    }
    assert row["input"]["inputMessages"][0]["content"]["content"] == "hi"
    assert row["input"]["systemMessages"] == [{"role": "system", "content": "Be kind."}]
    assert row["source"] == "LIVE"


async def test_a_slow_scorer_delays_nothing_and_a_failing_one_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    going = asyncio.Event()

    async def slow(ctx: Any) -> float:
        await going.wait()
        return 1.0

    async def fail(ctx: Any) -> float:
        raise RuntimeError("broken")

    agent = Agent(
        id="a",
        model=ScriptedModel(["yes"]),
        scorers={
            "slow": scorer("slow", slow),
            "failing": {"scorer": scorer("failing", fail)},
            "unknown": {"scorer": "nowhere"},
            "wrong": {"scorer": scorer("x", lambda ctx: 1), "sampling": {"type": "ratio"}},
        },
    )
    mastra = Mastra(agents=[agent])
    with caplog.at_level(logging.WARNING):
        assert (await mastra.get_agent("a").generate("hi")).text == "yes"
        assert (await mastra.storage.evals.list("score")).total == 0
        going.set()
        assert [row["scorerId"] for row in await rows(mastra)] == ["slow"]
    told = caplog.text
    assert "'failing' gave no score" in told
    assert "broken" in told
    assert "'unknown' gave no score" in told
    assert "'wrong' gave no score" in told


async def test_a_sample_takes_its_share_and_the_same_each_time() -> None:
    taken = [key for key in map(str, range(2000)) if is_sampled(0.1, key)]
    assert 140 < len(taken) < 260
    assert all(is_sampled(0.2, key) for key in taken)
    assert is_sampled(1.0, "x")
    assert not is_sampled(0.0, "x")
    # As in the original, so that both take the same runs.
    names = ("run-1", "run-2", "run-3", "run-4")
    assert [is_sampled(0.5, name) for name in names] == [True, False, True, True]


async def test_nothing_is_scored_that_the_sample_or_the_filter_leaves_out() -> None:
    called: list[str] = []
    one = scorer("one", lambda ctx: called.append(ctx.run.run_id) or 1)
    agent = Agent(
        id="a",
        model=ScriptedModel(["1", "2", "3"]),
        scorers={
            "none": {"scorer": one, "sampling": {"type": "ratio", "rate": 0.0}},
            "some": {"scorer": one, "filter": lambda subject: subject.run_id == "r2"},
        },
    )
    mastra = Mastra(agents=[agent])
    for name in ("r1", "r2"):
        await mastra.get_agent("a").generate("hi", run_id=name)
    # A call may have scorers of its own, by the id of a registered one too.
    mastra.add_scorer(scorer("two", lambda ctx: 2))
    await mastra.get_agent("a").generate("hi", run_id="r3", scorers={"x": {"scorer": "two"}})
    assert [(row["runId"], row["score"]) for row in await rows(mastra)] == [("r2", 1), ("r3", 2)]
    assert called == ["r2"]


async def test_a_trajectory_is_scored_by_the_tools_that_were_called() -> None:
    model = ScriptedModel([ToolCall("look", {"city": "Rome"}), "sunny"])
    steps = create_trajectory_accuracy_scorer_code(expected_trajectory=[{"name": "look"}])
    agent = Agent(id="a", model=model, tools=[look], scorers={"steps": {"scorer": steps}})
    mastra = Mastra(agents=[agent])
    await mastra.get_agent("a").generate("weather?")
    (row,) = await rows(mastra)
    assert row["score"] == 1
    assert row["output"]["steps"][0]["toolArgs"] == {"city": "Rome"}


async def test_steps_and_workflows_are_scored_too() -> None:
    async def double(value: Value) -> Value:
        return Value(value=value.value * 2)

    by = {"value": {"scorer": scorer("value", lambda ctx: ctx.run.output["value"])}}
    step = create_step(id="double", execute=double, scorers=by)
    inner = create_workflow(id="inner", input_schema=Value, output_schema=Value, scorers=by)
    inner.then(step).commit()
    outer = create_workflow(id="outer", input_schema=Value, output_schema=Value, scorers=by)
    outer.then(inner).map(lambda ctx: Value(value=ctx.input_data.value + 1)).commit()
    mastra = Mastra(workflows=[outer])
    run = await mastra.get_workflow("outer").create_run(resource_id="ada")
    assert (await run.start(input_data={"value": 2})).status == "success"
    found = await rows(mastra)
    assert [(row["entity"], row["score"]) for row in found] == [
        ({"id": "inner", "stepId": "inner.double"}, 4),
        ({"id": "inner", "name": "inner"}, 4),
        ({"id": "outer", "name": "outer"}, 5),
    ]
    assert {row["runId"] for row in found} == {run.run_id}
    assert found[0]["input"] == {"value": 2}
    assert {row["resourceId"] for row in found} == {"ada"}


async def test_a_judge_does_not_count_against_the_limits_of_the_run() -> None:
    judge = ScriptedModel(['{"score": 1}'])
    judged = create_scorer(id="judged", description="", judge=judge)
    judged = judged.generate_score(create_prompt=lambda ctx: "good?")
    agent = Agent(id="a", model=ScriptedModel(["yes"]), scorers={"judged": judged})
    mastra = Mastra(agents=[agent])
    await mastra.get_agent("a").generate("hi", limits={"requests": 1})
    (row,) = await rows(mastra)
    assert row["score"] == 1
    assert row["metadata"]["judgeTokens"] == 15


async def test_an_application_that_closes_waits_for_what_is_scored() -> None:
    async def soon(ctx: Any) -> float:
        await asyncio.sleep(0)
        return 0.5

    agent = Agent(id="a", model=ScriptedModel(["yes"]), scorers={"soon": scorer("soon", soon)})
    mastra = Mastra(agents=[agent])
    async with mastra:
        await mastra.get_agent("a").generate("hi")
    assert (await mastra.storage.evals.list("score")).total == 1


async def test_a_score_is_an_event_of_open_telemetry() -> None:
    from opentelemetry import _logs
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    before = _logs._internal._LOGGER_PROVIDER
    _logs._internal._LOGGER_PROVIDER = provider
    try:
        agent = Agent(
            id="a",
            model=ScriptedModel(["yes"]),
            scorers={"s": scorer("s", lambda ctx: 0.5).generate_reason(lambda ctx: "so")},
        )
        mastra = Mastra(agents=[agent], observability=Observability())
        result = await mastra.get_agent("a").generate("hi")
        await mastra.live_scores.drain()
    finally:
        _logs._internal._LOGGER_PROVIDER = before
    (found,) = exporter.get_finished_logs()
    record = found.log_record
    assert record.event_name == "gen_ai.evaluation.result"
    assert dict(record.attributes or {}) == {
        "gen_ai.evaluation.name": "s",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.explanation": "so",
        "gen_ai.response.id": result.run_id,
    }
    assert result.trace is not None
    assert f"{record.trace_id:032x}" == result.trace["traceId"]


async def test_what_is_no_scorer_is_said_and_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    length = scorer("length", lambda ctx: 1)
    wrong: dict[str, Any] = {
        "number": 7,
        "empty": {},
        "misspelt": {"scorer": length, "sample": 1},
        "none of it": {"scorer": 7},
        "unknown": "nowhere",
        "rate": {"scorer": length, "sampling": {"type": "ratio", "rate": 2}},
        "kind": {"scorer": length, "sampling": "all"},
    }
    agent = Agent(id="a", model=ScriptedModel("hi"), scorers={**wrong, "named": "length"})
    mastra = Mastra(agents=[agent], scorers=[length])
    with caplog.at_level(logging.WARNING):
        assert (await mastra.get_agent("a").generate("hello")).text == "hi"
        assert [row["scorerId"] for row in await rows(mastra)] == ["length"]
    said = [record.getMessage() for record in caplog.records]
    for name in wrong:
        assert any(f"Scorer {name!r} gave no score" in text for text in said), name


async def test_what_a_scorer_cannot_score_is_not_stored() -> None:
    odd = create_scorer(id="odd", description="").preprocess(lambda _: not_scorable("no text"))
    agent = Agent(
        id="a",
        model=ScriptedModel("hi"),
        scorers={"odd": odd.generate_score(lambda _: 1), "even": scorer("even", lambda _: 1)},
    )
    mastra = Mastra(agents=[agent])
    await mastra.get_agent("a").generate("hello")
    assert [row["scorerId"] for row in await rows(mastra)] == ["even"]


async def test_scorings_beyond_what_can_wait_are_left_out_and_late_ones_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "MAX_WAITING", 2)
    never = asyncio.Event()

    async def wait(_: Any) -> int:
        await never.wait()
        return 1

    agent = Agent(id="a", model=ScriptedModel(*["hi"] * 5), scorers={"slow": scorer("slow", wait)})
    mastra = Mastra(agents=[agent])
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await mastra.get_agent("a").generate("hello")
        assert mastra.live_scores.left_out == 3
        await mastra.live_scores.drain(timeout_s=0)
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "are left out" in text]) == 1
    assert any("2 scorings were given up" in text for text in said)
    assert await rows(mastra) == []
