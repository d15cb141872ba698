"""A workflow as a diagram, and a run as a notebook shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, StepContext, clone_step, create_step, create_tool, create_workflow
from mastra.testing import ScriptedModel
from mastra.workflows.describe import describe_nodes

ONE = create_step(id="one", execute=lambda n: n, description="First", metadata={"team": "a"})
TWO = create_step(id='tw"o', execute=lambda n: n)


def item(value: int) -> int:
    return value + 1


def nested() -> Any:
    return create_workflow(
        id="inner", input_schema=int, output_schema=int, description="Within"
    ).then(create_step(id="deep", execute=item))


def everything() -> Any:
    return (
        create_workflow(id="all", input_schema=int, output_schema=Any)
        .then(ONE)
        .parallel([create_step(id="left", execute=item), create_step(id="right", execute=item)])
        .map({"n": {"step": "left", "path": "."}})
        .map(lambda ctx: ctx.input_data["n"])
        .branch([(lambda ctx: ctx.input_data > 1, TWO), (lambda ctx: False, nested().commit())])
        .map(lambda ctx: [1, 2])
        .foreach(create_step(id="each", execute=item))
        .map(lambda ctx: sum(ctx.input_data))
        .dountil(create_step(id="more", execute=item), lambda ctx: ctx.input_data > 7)
        .sleep(0.001, id="doze")
        .sleep_until(datetime(2020, 1, 1, tzinfo=UTC), id="then")
        .sleep(lambda ctx: 0.001, id="asked")
        .commit()
    )


def test_each_kind_of_node_has_its_shape() -> None:
    lines = everything().to_mermaid().split("\n")
    assert lines[0] == "flowchart TD"
    for shape in (
        '["one"]',
        '["left"]',
        '["tw#quot;o"]',
        '["deep"]',
        '[["for each: each"]]',
        '["more"]',
        '{{"doze"}}',
        '{{"then"}}',
        '{{"asked"}}',
        "([start])",
        "([end])",
    ):
        assert any(line.strip().endswith(shape) for line in lines), shape
    assert sum("[/" in line for line in lines) == 4  # maps
    assert any(line.strip().startswith("subgraph") and '["inner"]' in line for line in lines)
    assert any("until" in line and "ctx.input_data &gt; 7" in line for line in lines)
    # Both arms come from the map before, each by its own condition, and both lead on.
    (second,) = [line.split("[")[0].strip() for line in lines if "#quot;" in line]
    (first_of_arm,) = [line for line in lines if line.endswith(f"| {second}")]
    assert "ctx.input_data &gt; 1" in first_of_arm
    assert any(line.strip().startswith(f"{second} --> ") for line in lines)


def test_the_graph_has_what_readers_of_it_show() -> None:
    graph: Any = describe_nodes(everything().spec)
    by_type: dict[str, list[Any]] = {}
    for node in graph:
        by_type.setdefault(node["type"], []).append(node)
    one = graph[0]["step"]
    assert one["description"] == "First"
    assert one["metadata"] == {"team": "a"}
    inner = by_type["conditional"][0]["steps"][1]
    assert inner["description"] == "Within"
    assert (inner["type"], inner["workflowId"]) == ("workflow", "inner")
    assert [node["step"]["id"] for node in inner["serializedStepFlow"]] == ["deep"]
    sleeps = {node["id"]: node for node in by_type["sleep"] + by_type["sleepUntil"]}
    assert sleeps["doze"]["duration"] == 1
    assert sleeps["then"]["date"] == "2020-01-01T00:00:00.000Z"
    assert "0.001" in sleeps["asked"]["fn"]


def test_what_a_node_is_made_of_is_its_type() -> None:
    agent = Agent(id="planner", description="Plans", model=ScriptedModel())
    tool = create_tool("look", "Looks", dict[str, Any], execute=item)
    inner = nested().commit()
    graph: list[Any] = describe_nodes(
        create_workflow(id="w", input_schema=Any, output_schema=Any)
        .then(agent)
        .map({"prompt": {"value": "on"}}, id="ask")
        .then(create_step(agent, id="again"))
        .then(clone_step(create_step(tool), id="looked"))
        .map({"n": {"step": "again", "path": "text"}, "one": {"value": 1}}, id="both")
        .then(inner)
        .map(lambda ctx: [1], id="list")
        .foreach(inner)
        .map(lambda ctx: 1, id="number")
        .dowhile(create_step(id="more", execute=item), lambda ctx: False)
        .commit()
        .spec
    )
    deep = [{"type": "step", "step": {"id": "deep", "canSuspend": False}}]
    within = {"type": "workflow", "id": "inner", "workflowId": "inner", "description": "Within"}
    assert graph[0] == {
        "type": "agent",
        "id": "planner",
        "agentId": "planner",
        "description": "Plans",
    }
    assert (graph[2]["id"], graph[2]["agentId"]) == ("again", "planner")
    assert graph[3] == {"type": "tool", "id": "looked", "toolId": "look", "description": "Looks"}
    assert (graph[4]["type"], graph[4]["id"]) == ("mapping", "both")
    assert json.loads(graph[4]["mapConfig"])["n"] == {"step": "again", "path": "text"}
    assert graph[5] == within | {"serializedStepFlow": deep}
    assert graph[6]["mapConfig"] == "lambda ctx: [1]"
    assert graph[7]["step"] == within | {"serializedStepFlow": deep}
    assert graph[9]["step"] == {"type": "step", "step": {"id": "more", "canSuspend": False}}


def test_a_map_shows_steps_by_their_ids_and_functions_by_their_text() -> None:
    step = create_step(id="one", execute=item)
    workflow = create_workflow(id="w", input_schema=int, output_schema=Any).then(step)
    (_, shown) = describe_nodes(
        workflow.map({"a": {"step": step}, "b": {"fn": lambda ctx: 2}}).commit().spec
    )
    config: Any = shown
    assert json.loads(config["mapConfig"]) == {
        "a": {"step": "one"},
        "b": {"fn": "lambda ctx: 2"},
    }


async def test_a_result_is_a_table_in_a_notebook() -> None:
    result = await (await everything().create_run()).start(1)
    told = result._repr_mimebundle_()
    assert told["text/plain"] == repr(result)
    table = told["text/markdown"]
    assert table.startswith(f"Run `{result.run_id}` of `all`: **success**")
    rows = [line for line in table.split("\n") if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(result.steps)
    assert rows[0].split("|")[2].strip() == "success"
    assert float(rows[0].split("|")[3]) >= 0
    assert "result:\n\n```json\n8\n```" in table


class Asked(BaseModel):
    why: str


async def test_a_result_that_waits_or_failed_says_why() -> None:
    async def ask(ctx: StepContext[Any]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"why": "néed"})
        raise ValueError("no <b>")

    step = create_step(id="ask", execute=ask, suspend_schema=Asked, resume_schema=int)
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()
    run = await workflow.create_run()
    waits = await run.start(1)
    told = waits._repr_mimebundle_()["text/markdown"]
    assert "**suspended**" in told
    assert '"why": "néed"' in told
    ended = (await run.resume(1))._repr_mimebundle_()["text/markdown"]
    assert "**failed**" in ended
    shown = ended.split("```json\n")[1].split("\n```")[0]
    assert json.loads(shown)["message"] == "no <b>"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("${inputData.n} ${input_data.n}", "3 3"),
        ("${initData.n}/${init_data}", "3/{'n': 3}"),
        ("${requestContext.who}", "ann"),
        ("${first.n} and ${ first.n }", "3 and 3"),
    ],
)
async def test_a_template_takes_its_parts_from_all_that_a_map_sees(
    template: str, text: str
) -> None:
    first = create_step(id="first", execute=lambda value: value)
    workflow = create_workflow(id="w", input_schema=dict[str, int], output_schema=Any)
    flow = workflow.then(first).map({"told": {"template": template}}).commit()
    run = await flow.create_run()
    result = await run.start({"n": 3}, request_context={"who": "ann"})
    assert result.unwrap() == {"told": text}
