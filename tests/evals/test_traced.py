"""What is scored of a trace that was kept."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, Mastra, create_step, create_workflow, tool
from mastra.errors import InputValidationError
from mastra.evals.messages import assistant_text, tool_calls, user_text
from mastra.evals.traced import scorable_of
from mastra.observability import Observability
from mastra.observability.records import SpanRecord
from mastra.testing import ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio


def look(city: str) -> str:
    """Look."""
    return f"sunny in {city}"


def application(*, captures: bool = True) -> Mastra:
    step = create_step(id="double", input_schema=int, output_schema=int, execute=lambda c: 2)
    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(step).commit()
    model = ScriptedModel(ToolCall("look", {"city": "Rome"}), "It is sunny.")
    return Mastra(
        agents=[Agent(id="a", model=model, tools=[look], instructions="Be short.")],
        workflows=[flow],
        observability=Observability(capture_content=captures),
    )


async def spans_of(mastra: Mastra) -> dict[str, SpanRecord]:
    await mastra.observability.flush()
    page = await mastra.storage.observability.list_traces(limit=1)
    found = await mastra.storage.observability.get_spans([page.roots[0].trace_id])
    return {span.kind: span for span in found}


async def test_a_run_that_gave_no_answer_is_not_scored() -> None:
    @tool(require_approval=True)
    async def pay(what: str) -> str:
        """Pay."""
        return what

    model = ScriptedModel(ToolCall("pay", {"what": "shoes"}))
    mastra = Mastra(
        agents=[Agent(id="a", model=model, tools=[pay])],
        observability=Observability(capture_content=True),
    )
    assert (await mastra.get_agent("a").generate("Pay.")).finish_reason == "suspended"
    spans = await spans_of(mastra)
    with pytest.raises(InputValidationError, match="ended as 'suspended'"):
        scorable_of([*spans.values()], spans["agent_run"], is_of_agent=True)


async def test_a_scorer_of_agents_sees_the_agent_of_whatever_span() -> None:
    mastra = application()
    await mastra.get_agent("a").generate("Weather?")
    spans = await spans_of(mastra)
    for kind in ("agent_run", "tool_call"):
        found = scorable_of([*spans.values()], spans[kind], is_of_agent=True)
        assert found.entity_type == "AGENT"
        assert (user_text(found.input), assistant_text(found.output)) == (
            "Weather?",
            "It is sunny.",
        )
        assert tool_calls(found.output)[0] == ["look"]
        assert found.input["systemMessages"] == [{"role": "system", "content": "Be short."}]
    tool = scorable_of([*spans.values()], spans["tool_call"], is_of_agent=False)
    assert (tool.entity_type, tool.input, tool.output) == (
        "TOOL",
        {"city": "Rome"},
        "sunny in Rome",
    )


@pytest.mark.parametrize(
    ("captures", "is_of_agent", "told"),
    [(True, True, "has no answer of an agent"), (False, False, "holds no content to score")],
)
async def test_what_a_trace_does_not_hold_is_said(
    captures: bool, is_of_agent: bool, told: str
) -> None:
    mastra = application(captures=captures)
    run: Any = await mastra.get_workflow("flow").create_run()
    await run.start(1)
    spans = await spans_of(mastra)
    with pytest.raises(InputValidationError, match=told):
        scorable_of([*spans.values()], spans["workflow_step"], is_of_agent=is_of_agent)
