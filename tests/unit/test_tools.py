"""Tools at their edges: what they give, what they are called with, how those end that they run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mastra import Agent, RequestContext, ToolContext, create_step, create_tool, create_workflow
from mastra.errors import ConfigError, ToolApprovalError, ToolError, ValidationError
from mastra.models.messages import FilePart, ImagePart, TextPart, ToolResultPart
from mastra.stream.abort import AbortSignal
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.approval import asks_approval
from mastra.tools.content import File, Image, content_to_json
from mastra.tools.tool import as_tool

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        (Image(b"a"), [{"type": "media", "mediaType": "image/png", "data": "YQ=="}]),
        (
            Image(url="http://a/b"),
            [{"type": "media", "mediaType": "image/png", "url": "http://a/b"}],
        ),
        (
            ["see", File("YQ==", "text/plain", "a.txt")],
            [
                {"type": "text", "text": "see"},
                {"type": "media", "mediaType": "text/plain", "filename": "a.txt", "data": "YQ=="},
            ],
        ),
        ((TextPart("a"),), [{"type": "text", "text": "a"}]),
        ([Image(b"a"), 7], None),
        (["a", "b"], None),
        ([], None),
        ("a", None),
    ],
)
def test_what_a_tool_shows_is_told_apart_from_data(given: Any, blocks: Any) -> None:
    found = content_to_json(given)
    assert found == (None if blocks is None else {"type": "content", "value": blocks})


@pytest.mark.parametrize("kind", [Image, File])
@pytest.mark.parametrize(
    ("given", "said"), [({}, "neither"), ({"data": b"a", "url": "http://a/b"}, "both")]
)
def test_a_picture_or_a_file_is_its_bytes_or_where_it_is(
    kind: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__} takes its bytes.*given {said}"):
        kind(**given)


def asked_with_default(value: dict[str, int], limit: int = 10) -> bool:
    return value["amount"] > limit


def asked_with_name(value: dict[str, int], *, limit: int = 10) -> bool:
    return value["amount"] > limit


def asked_with_context(value: dict[str, int], ctx: ToolContext) -> bool:
    return value["amount"] > ctx.request_context.get("limit")


def asked_with_optional_context(value: dict[str, int], where: ToolContext | None = None) -> bool:
    return where is None or value["amount"] > where.request_context.get("limit")


def asked_with_named_context(value: Any, context: Any = None) -> bool:
    return value["amount"] > context.request_context.get("limit")


def asked_with_rest(value: Any, *rest: Any) -> bool:
    return value["amount"] > rest[0].request_context.get("limit")


def asked_with_all(*given: Any) -> bool:
    return given[0]["amount"] > 10 and len(given) == 1


@pytest.mark.parametrize(
    "policy",
    [
        asked_with_default,
        asked_with_name,
        partial(asked_with_default, limit=10),
        asked_with_context,
        asked_with_optional_context,
        asked_with_all,
        asked_with_named_context,
        asked_with_rest,
    ],
)
@pytest.mark.parametrize(("amount", "asks"), [(5, False), (15, True)])
async def test_a_policy_is_called_with_what_it_takes(
    policy: Any, amount: int, asks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    spend = create_tool("spend", "Spend.", dict, execute=lambda given: given["amount"])
    context = ToolContext(request_context=RequestContext({"limit": 10}))
    asked = asks_approval(replace(spend, require_approval=policy), {"amount": amount}, context)
    assert await asked is asks
    assert not caplog.records  # one that raises is taken for a yes


@pytest.mark.parametrize("part", [ImagePart(b"a", "image/png"), FilePart(b"a", "text/plain")])
def test_parts_of_messages_are_content_too(part: Any) -> None:
    (block,) = content_to_json(part)["value"]  # type: ignore[index]
    assert block["mediaType" if "mediaType" in block else "mimeType"] == part.media_type


def of_client() -> Any:
    return create_tool("ask", description="Ask.", input_schema=dict)


async def test_a_tool_of_the_client_cannot_be_called_here() -> None:
    tool = of_client()
    with pytest.raises(ConfigError, match="'ask' has no function: its client runs it"):
        tool()
    with pytest.raises(ConfigError, match="'ask' has no function: its client runs it"):
        await tool.execute({})


@pytest.mark.parametrize("given", [7, "look", None])
def test_what_is_no_tool_is_refused(given: Any) -> None:
    with pytest.raises(
        ConfigError, match="is not a tool: give a tool made by create_tool or @tool"
    ):
        as_tool(given)


def test_a_parameter_may_be_called_as_a_models_own_method() -> None:
    def look(_copy: int, copy: str, json_: str, json: int = 1) -> str:
        """Look.

        Args:
            _copy: How often.
            copy:
            json: Which.
        """
        return f"{_copy}{copy}{json_}{json}"

    tool = as_tool(look)
    schema = tool.input_json_schema
    assert set(schema["properties"]) == {"_copy", "copy", "json_", "json"}
    assert schema["required"] == ["_copy", "copy", "json_"]
    told = {name: one.get("description") for name, one in schema["properties"].items()}
    assert told == {"_copy": "How often.", "copy": None, "json_": None, "json": "Which."}


async def test_no_parameter_takes_the_place_of_another() -> None:
    def look(json: int, json_: str, _a: int, a_: int = 3, __a: int = 4) -> str:
        """Look."""
        return f"{json}{json_}{_a}{a_}{__a}"

    tool = as_tool(look)
    assert set(tool.input_json_schema["properties"]) == {"json", "json_", "_a", "a_", "__a"}
    assert await tool.execute({"json": 5, "json_": "c", "_a": 1}) == "5c134"
    assert await tool.execute({"json_": "c", "a_": 7, "_a": 1, "json": 5, "__a": 8}) == "5c178"


async def test_such_parameters_get_what_they_are_called_with() -> None:
    def look(_copy: int, copy: str, json: int = 1) -> str:
        """Look."""
        return f"{_copy}{copy}{json}"

    assert await as_tool(look).execute({"_copy": 1, "copy": "b"}) == "1b1"
    assert await as_tool(look).execute({"_copy": 1, "copy": "b", "json": 3}) == "1b3"


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("abort", "Workflow 'flow' ended as 'canceled'"),
        ("fail", "Workflow 'flow' failed: kaputt"),
        ("tell", "Workflow 'flow' failed: say it"),
    ],
)
async def test_how_a_workflow_ended_is_what_the_model_is_told(ends: str, told: str) -> None:
    class City(BaseModel):
        city: str

    def end(ctx: Any) -> Any:
        if ends == "abort":
            ctx.abort()
        raise ToolError("say it") if ends == "tell" else ValueError("kaputt")

    step = create_step(id="end", input_schema=City, output_schema=str, execute=end)
    flow = create_workflow(id="flow", description="Flows.", input_schema=City, output_schema=str)
    flow.then(step).commit()
    model = ScriptedModel(ToolCall("workflow-flow", {"city": "Rome"}), "so")
    agent = Agent(id="a", model=model, workflows={"flow": flow})
    assert (await agent.generate("?")).text == "so"
    results = [
        part
        for message in model.requests[1].messages
        for part in message.content
        if isinstance(part, ToolResultPart)
    ]
    assert told in str(results[0].result)


async def test_who_waits_for_an_abort_that_has_been_does_not_wait() -> None:
    signal = AbortSignal()
    signal._abort("why")
    await signal.wait()
    assert (signal.aborted, signal.reason) == (True, "why")
    called: list[int] = []
    remove = signal.add_listener(lambda: called.append(1))
    remove()
    assert called == [1]


# -- forms -------------------------------------------------------------------------------------


class Folder(BaseModel):
    name: str
    folders: list[Folder] = []


async def test_a_type_that_holds_itself_is_shown_as_an_object() -> None:
    def count(folder: Folder) -> int:
        return 1 + sum(map(count, folder.folders))

    tool = create_tool("count", "Count.", execute=count)
    assert tool.input_json_schema["type"] == "object"
    assert set(tool.input_json_schema["properties"]) == {"name", "folders"}
    assert "Folder" in tool.input_json_schema["$defs"]
    assert await tool.execute({"name": "a", "folders": [{"name": "b"}]}) == 2


async def test_one_parameter_of_several_types_is_a_field() -> None:
    def count(folder: Folder | None, at: Literal["top"] = "top") -> str:
        return f"{at}: {folder and folder.name}"

    tool = as_tool(count)
    assert set(tool.input_json_schema["properties"]) == {"folder", "at"}
    assert await tool.execute({"folder": {"name": "b"}}) == "top: b"

    def only(folder: Folder | None) -> str:
        return str(folder)

    assert set(as_tool(only).input_json_schema["properties"]) == {"folder"}
    assert await as_tool(only).execute({"folder": None}) == "None"


class Tier(BaseModel):
    tier: Literal["gold"]


async def test_the_values_of_the_request_are_what_a_tool_needs() -> None:
    tool = create_tool("look", "Look.", dict, execute=lambda _: "seen", request_context_schema=Tier)
    assert await tool.execute({}) == "seen"
    gold = ToolContext(request_context=RequestContext({"tier": "gold"}))
    assert await tool.execute({}, gold) == "seen"
    with pytest.raises(ValidationError, match="The request context of tool 'look'"):
        await tool.execute({}, ToolContext())


async def test_a_tool_that_asks_by_itself_needs_no_schemas_for_that() -> None:
    def pay(given: dict[str, Any], ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            ctx.suspend({"for": given["to"]})
        return f"{ctx.suspend_data['for']} was paid by {ctx.resume_data}"

    tool = create_tool("pay", "Pay.", dict, execute=pay, require_approval=True)
    workflow = create_workflow(id="w", input_schema=dict, output_schema=Any).then(tool).commit()
    run = await workflow.create_run()
    await run.start({"to": "ann"})
    waits: Any = await run.resume({"approved": True})
    assert waits.suspend_payload == {"pay": {"for": "ann"}}
    assert (await run.resume("ben")).unwrap() == "ann was paid by ben"


async def test_who_needs_approval_and_cannot_ask_is_told() -> None:
    tool = create_tool("pay", "Pay.", dict, execute=lambda _: "paid", require_approval=True)
    with pytest.raises(ToolApprovalError, match="cannot be asked for here"):
        await tool.execute({}, ToolContext())
    assert await tool.execute({}, ToolContext(is_approved=True)) == "paid"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "array"}, "its type is 'array'"),
        ({"type": ["string", "null"]}, "its type is"),
        ({"type": 5}, "its type is 5"),
        ({"type": True}, "its type is True"),
        ({"type": {"object": 1}}, "its type is {'object': 1}"),
        ({"type": "object", "properties": ["city"]}, "properties are .* give schemas by the names"),
        ({"properties": {"a": {}}, "required": True}, "required is True: give the names of fields"),
    ],
)
def test_a_schema_that_no_input_can_have_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(
        ConfigError, match=f"Tool 't': input_schema cannot be a tool's, since .*{says}"
    ):
        create_tool("t", "d", schema, execute=lambda given: given)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["object", "null"]},
        {"anyOf": [{"type": "object"}]},
        {"type": "object"},
        {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
        {"type": ["OBJECT", "NULL"]},
    ],
)
async def test_a_schema_that_leaves_it_open_is_an_object_s(schema: dict[str, Any]) -> None:
    made = create_tool("t", "d", schema, execute=lambda given: given)
    assert made.input_json_schema["type"] == "object"
    assert await made.execute({"a": 1}) == {"a": 1}
