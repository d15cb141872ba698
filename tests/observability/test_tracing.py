"""Spans of runs, steps, agents, model calls and tools, in OpenTelemetry and in memory."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    NoOpTracerProvider,
    SpanContext,
    StatusCode,
    get_current_span,
    use_span,
)
from pydantic import BaseModel

from mastra import Agent, Mastra, create_step, create_tool, create_workflow
from mastra.observability import JsonLogFormatter, Observability, current_span
from mastra.observability.config import collecting_logs
from mastra.observability.otel import emit_evaluation
from mastra.observability.spans import SpanRef, Tracer
from mastra.testing import ScriptedModel, ToolCall
from tests.support.tracing import kept_spans

pytestmark = pytest.mark.anyio


class City(BaseModel):
    city: str


async def look_up(city: City) -> str:
    assert current_span() is not None
    return f"fine in {city.city}"


def application(observability: Observability) -> Mastra:
    model = ScriptedModel([ToolCall("weather", {"city": "Oslo"})], "It is fine.")
    weather = create_tool("get-weather", "Weather of a city", City, execute=look_up)
    agent = Agent(id="guide", name="Guide", model=model, tools={"weather": weather})

    async def ask(ctx: Any) -> str:
        answer = await ctx.mastra.get_agent("guide").generate(f"secret {ctx.input_data.city}")
        return answer.text

    async def approve(ctx: Any) -> str:
        if ctx.resume_data is None:
            return await ctx.suspend({"need": "a word"})
        return f"{ctx.input_data} {ctx.resume_data}"

    flow = (
        create_workflow(id="flow", input_schema=City, output_schema=str)
        .then(create_step(id="ask", input_schema=City, output_schema=str, execute=ask))
        .then(create_step(id="approve", input_schema=str, output_schema=str, execute=approve))
        .commit()
    )
    return Mastra(agents={"guide": agent}, workflows={"flow": flow}, observability=observability)


async def play(mastra: Mastra) -> Any:
    run = await mastra.get_workflow("flow").create_run()
    await run.start({"city": "Oslo"})
    return await run.resume("yes")


async def test_opentelemetry_gets_one_trace_across_suspend_and_resume() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    result = await play(application(Observability(tracer_provider=provider, traces=False)))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 1
    assert list(spans) == [
        "chat script",
        "execute_tool weather",
        "invoke_agent Guide",
        "step ask",
        "step approve",
        "invoke_workflow flow",
    ] or set(spans) >= {"execute_tool weather", "invoke_agent Guide", "step ask"}
    agent, step, tool = (
        spans["invoke_agent Guide"],
        spans["step ask"],
        spans["execute_tool weather"],
    )
    assert parent_of(agent) == step.context.span_id
    assert parent_of(tool) == agent.context.span_id
    legs = [s for s in exporter.get_finished_spans() if s.name == "invoke_workflow flow"]
    assert [leg.attributes["mastra.run.leg"] for leg in legs] == ["start", "resume"]
    assert parent_of(legs[1]) == legs[0].context.span_id
    assert result.to_wire()["traceId"] == f"{legs[0].context.trace_id:032x}"
    assert agent.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert agent.attributes["gen_ai.agent.name"] == "Guide"
    assert agent.attributes["gen_ai.usage.input_tokens"] > 0
    assert tool.attributes["gen_ai.tool.name"] == "weather"
    model = next(s for s in exporter.get_finished_spans() if s.name.startswith("chat "))
    assert model.kind.name == "CLIENT"
    assert model.attributes["gen_ai.usage.output_tokens"] > 0
    assert "secret" not in json.dumps([span.to_json() for span in exporter.get_finished_spans()])


async def test_each_operation_of_a_durable_agent_has_its_spans() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    model = ScriptedModel([ToolCall("weather", {"city": "Oslo"})], "It is fine.")
    weather = create_tool("get-weather", "Weather of a city", City, execute=look_up)
    agent = Agent(id="guide", name="Guide", model=model, tools={"weather": weather})
    flow = create_workflow(id="flow", input_schema=dict[str, str], output_schema=Any)
    flow.then(create_step(agent, durable=True)).commit()
    observability = Observability(tracer_provider=provider, traces=False)
    mastra = Mastra(workflows={"flow": flow}, observability=observability)
    await (await mastra.get_workflow("flow").create_run()).start({"prompt": "Oslo?"})
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    assert len({span.context.trace_id for span in spans}) == 1
    under = [(span.name, names.get(parent_of(span) or 0)) for span in spans]
    steps = [pair for pair in under if pair[0].startswith("step ")]
    assert steps == [
        ("step guide.model", "invoke_workflow flow"),
        ("step guide.tool", "invoke_workflow flow"),
        ("step guide.model", "invoke_workflow flow"),
    ]
    assert ("execute_tool weather", "invoke_agent Guide") in under
    assert ("invoke_agent Guide", "step guide.tool") in under
    assert under.count(("invoke_agent Guide", "step guide.model")) == 2
    agents = [span.attributes or {} for span in spans if span.name == "invoke_agent Guide"]
    told = [
        item["gen_ai.usage.input_tokens"] for item in agents if "gen_ai.usage.input_tokens" in item
    ]
    assert told == [20]


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


async def test_content_is_kept_only_where_that_is_asked_for() -> None:
    silent = application(Observability())
    telling = application(Observability(capture_content=True))
    for mastra in (silent, telling):
        await play(mastra)
    kept = await kept_spans(silent)
    assert len(kept) > 5
    assert [(span.input, span.output) for span in kept if span.input or span.output] == []
    told = {span.kind: span for span in await kept_spans(telling)}
    assert "secret Oslo" in json.dumps(told["model_generation"].input)
    assert told["tool_call"].output == "fine in Oslo"


async def test_a_failure_is_told() -> None:
    async def boom(ctx: Any) -> None:
        raise RuntimeError("boom")

    flow = create_workflow(id="flow", input_schema=Any, output_schema=Any)
    made = flow.then(create_step(id="boom", execute=boom)).commit()
    mastra = Mastra(workflows={"flow": made}, observability=Observability())
    await (await mastra.get_workflow("flow").create_run()).start({})
    errors = {span.kind: span.error for span in await kept_spans(mastra)}
    assert errors["workflow_step"]["message"] == "boom"
    assert errors["workflow_run"]["message"] == "boom"


async def test_opentelemetry_is_told_of_a_failure_too() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = Observability(tracer_provider=provider, traces=False).tracer
    assert tracer is not None
    with pytest.raises(RuntimeError), tracer.start("tool_call", "t", entity=("t", "t")).active():
        raise RuntimeError("boom")
    [span] = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "boom")
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert get_current_span() is INVALID_SPAN, "what comes after is not under it"


async def test_a_provider_that_traces_nothing_takes_no_ids_away() -> None:
    mastra = application(Observability(tracer_provider=NoOpTracerProvider()))
    await play(mastra)
    spans = await kept_spans(mastra)
    assert len({span.trace_id for span in spans}) == 1
    assert int(spans[0].trace_id, 16) != 0
    assert len({span.span_id for span in spans}) == len(spans)
    above = {span.parent_id for span in spans} - {None}
    assert above <= {span.span_id for span in spans}


@pytest.mark.parametrize("provider", [NoOpTracerProvider(), TracerProvider(sampler=ALWAYS_OFF)])
def test_what_begins_under_a_span_of_another_s_has_an_id_of_its_own(provider: Any) -> None:
    tracer = Observability(tracer_provider=provider, traces=False).tracer
    assert tracer is not None
    outer = SpanContext(trace_id=7, span_id=9, is_remote=True)
    with use_span(NonRecordingSpan(outer)):
        span = tracer.start("workflow_run", "run")
    below = tracer.start("workflow_step", "step", parent=SpanRef(f"{7:032x}", f"{9:016x}"))
    assert len({span.span_id, below.span_id, f"{9:016x}"}) == 3
    assert (below.trace_id, below.parent_id) == (f"{7:032x}", f"{9:016x}")


async def test_what_no_application_has_keeps_nothing_and_can_be_ended() -> None:
    alone = Observability()
    await alone.flush()
    await alone.aclose()
    assert (alone.tracer, alone.collector()) == (None, None)
    assert Observability(logs=False).kept_in(None).collector() is None


def test_a_score_without_reason_or_trace_is_an_event_too(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", provider)
    emit_evaluation("s", 0.5, reason=None, trace=None, run_id="r")
    [told] = exporter.get_finished_logs()
    assert dict(told.log_record.attributes or {}) == {
        "gen_ai.evaluation.name": "s",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.response.id": "r",
    }
    assert not told.log_record.trace_id


async def test_without_a_tracer_a_run_has_no_span() -> None:
    mastra = application(Observability(traces=False))
    result = await play(mastra)
    assert "traceId" not in result.to_wire()


def test_a_log_record_becomes_one_line_of_json() -> None:
    record = logging.LogRecord("mastra", logging.WARNING, "", 0, "step %s", ("a",), None)
    record.mastra = {"run_id": "r", "step_id": "a", "attempt": 2}
    span = Tracer(None, None).start("workflow_step", "a")
    with span.active():
        line = json.loads(JsonLogFormatter().format(record))
    assert line["message"] == "step a"
    assert line["level"] == "warning"
    assert (line["run_id"], line["attempt"]) == ("r", 2)
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


def test_a_record_of_any_logger_is_a_line_with_what_was_raised() -> None:
    with pytest.raises(KeyError) as caught:
        _ = {}["gone"]
    raised = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("mine", logging.ERROR, "", 0, "lost", (), raised)
    line = json.loads(JsonLogFormatter().format(record))
    assert set(line) == {"time", "level", "logger", "message", "exception"}
    assert (line["logger"], line["level"], line["message"]) == ("mine", "error", "lost")
    assert line["exception"].startswith("Traceback")
    assert "KeyError: 'gone'" in line["exception"]


async def test_a_record_that_comes_by_two_loggers_is_kept_once() -> None:
    """An application's logger may lie under the framework's, which is listened to as well."""
    mastra = Mastra(logger=logging.getLogger("mastra.mine"), observability=Observability())
    mine = logging.getLogger("mastra.mine")
    with collecting_logs(mastra.observability, mine):
        mine.warning("once")
        mine.warning("once")  # another record, which says the same
    assert mastra.observability is not None
    await mastra.observability.flush()
    page = await mastra.storage.observability.list_logs(limit=10)
    assert [log.message for log in page.records] == ["once", "once"]
