"""A few lines of references to each other come to more than there is memory for: nothing tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig
from mastra.agents.output import StructuredOutput
from mastra.models.anthropic_schema import can_be_strict, strict_schema
from mastra.models.gemini_schema import answer_schema, function_schema
from mastra.models.openai_schema import strict_form
from mastra.models.schema_parts import is_moderate, leaves_out, takes_null, without_nulls
from mastra.server import BearerAuth, create_app
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio

MANY = 40


def twice(reference: dict[str, Any], kind: str) -> dict[str, Any]:
    match kind:
        case "properties":
            return {"type": "object", "properties": {"a": reference, "b": reference}}
        case "described":
            own = {**reference, "description": "x"}
            parts = {"a": own, "b": own}
            return {"type": "object", "properties": parts, "additionalProperties": False}
        case "items":
            return {"type": "array", "prefixItems": [reference, reference], "items": reference}
        case _:
            return {kind: [reference, reference]}


def doubling(kind: str) -> dict[str, Any]:
    """Return a schema in which each definition holds the next one twice, and the last the first."""
    names = [f"d{number}" for number in range(MANY)]
    following = [*names[1:], "end"]
    made = {
        name: twice({"$ref": f"#/$defs/{next_}"}, kind)
        for name, next_ in zip(names, following, strict=True)
    }
    made["end"] = {"type": "object", "properties": {"x": {"type": "string"}}}
    top = twice({"$ref": "#/$defs/d0"}, kind)
    return {"$defs": made, **top}


def output(schema: dict[str, Any]) -> None:
    made = StructuredOutput.of(schema)
    made.response_format()
    _ = made.may_leave_out


USES: dict[str, Callable[[dict[str, Any]], object]] = {
    "strict_form": strict_form,
    "can_be_strict": can_be_strict,
    "strict_schema": strict_schema,
    "function_schema": function_schema,
    "answer_schema": answer_schema,
    "leaves_out": leaves_out,
    "takes_null": lambda schema: takes_null(schema, schema),
    "without_nulls": lambda schema: without_nulls({"a": {"b": None}}, schema, schema),
    "is_moderate": is_moderate,
    "an output": output,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["anyOf", "allOf", "properties", "described", "items"])
def test_references_that_double_are_looked_at_once(use: str, kind: str) -> None:
    USES[use](doubling(kind))  # forty doublings: written out there would be no end of it


@pytest.mark.parametrize("kind", ["anyOf", "allOf"])
def test_what_leads_back_to_itself_says_nothing_of_null(kind: str) -> None:
    schema: dict[str, Any] = {"$defs": {"a": {kind: [{"$ref": "#/$defs/a"}]}}}
    assert takes_null({"$ref": "#/$defs/a"}, schema) is False


def test_a_schema_with_definitions_is_moderate_and_a_doubling_one_is_not() -> None:
    field = {"$ref": "#/$defs/tree"}
    tree = {"type": "object", "properties": {"left": field, "right": field}}
    assert is_moderate({"$defs": {"tree": tree}, **field})
    assert not is_moderate(doubling("anyOf"))
    assert not is_moderate({"properties": {str(number): {} for number in range(30_000)}})
    chain = {str(at): {"$ref": f"#/$defs/{at + 1}"} for at in range(5000)}
    assert not is_moderate({"$defs": chain, "$ref": "#/$defs/0"})


@pytest.mark.parametrize("place", ["structuredOutput", "schema alone", "clientTools"])
async def test_a_caller_s_schema_that_comes_to_too_much_is_refused(place: str) -> None:
    agent = Agent(id="a", model=FunctionModel(lambda _: "ok"))
    app = create_app(
        Mastra(agents={"a": agent}, server=ServerConfig(auth=BearerAuth({"B": "bob"})))
    )
    schema = doubling("properties")
    body: dict[str, Any] = {
        "structuredOutput": {"structuredOutput": {"schema": schema}},
        "schema alone": {"structuredOutput": {key: schema[key] for key in ("$defs", "type", "properties")}},
        "clientTools": {"clientTools": {"t": {"description": "x", "inputSchema": schema}}},
    }[place]  # fmt: skip
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://testserver",
        headers={"authorization": "Bearer B"},
    ) as client:
        begun = time.process_time()
        plain = await client.post("/api/agents/a/generate", json={"messages": "hi"})
        usual = time.process_time() - begun
        answer = await client.post("/api/agents/a/generate", json={"messages": "hi", **body})
        took = time.process_time() - begun - usual
    assert (plain.status_code, answer.status_code) == (200, 400)
    assert "too large" in answer.text
    assert took < 20 * usual + 0.5
