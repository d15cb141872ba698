"""JSON Schemas as the wire carries them: a text that holds `{"json": schema}`."""

from __future__ import annotations

from typing import Any, cast

from mastra.jsonable import Json, dump_wire
from mastra.schema import Schema
from mastra.tools.tool import Tool

__all__ = ["DRAFT_7", "DRAFT_2020", "inlined", "json_schema_of", "schema_text", "tool_wire"]

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def inlined(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema with its definitions put where they are referred to.

    Form builders, Studio's among them, do not follow references. Definitions that contain
    themselves stay as they are.
    """
    definitions = cast("dict[str, Json]", schema.get("$defs") or {})
    if not definitions:
        return schema
    left: set[str] = set()

    def put(node: Json, above: tuple[str, ...]) -> Json:
        if isinstance(node, list):
            return [put(item, above) for item in cast("list[Json]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("dict[str, Json]", node)
        name = str(fields.get("$ref", "")).removeprefix("#/$defs/")
        if name in definitions:
            if name in above:
                left.add(name)
                return fields
            rest = {key: value for key, value in fields.items() if key != "$ref"}
            return {**put(definitions[name], (*above, name)), **rest}
        return {key: put(value, above) for key, value in fields.items() if key != "$defs"}

    made = cast("dict[str, Json]", put(schema, ()))
    if left:
        made["$defs"] = {name: definitions[name] for name in definitions}
    return made


def json_schema_of(schema: Schema[Any], mode: str = "validation") -> dict[str, Json]:
    """Return the JSON Schema of a type, `{}` where pydantic can give none."""
    from pydantic.errors import PydanticInvalidForJsonSchema  # noqa: PLC0415 - rarely needed

    try:
        return schema.json_schema(mode)
    except PydanticInvalidForJsonSchema:
        return {}


def schema_text(schema: dict[str, Json], draft: str) -> str:
    """Return a JSON Schema as the wire carries it."""
    return dump_wire({"json": {"$schema": draft, **inlined(schema)}}).decode()


def tool_wire(tool: Tool[Any, Any]) -> dict[str, Json]:
    """Return a tool as clients see it."""
    wire: dict[str, Json] = {
        "id": tool.id,
        "description": tool.description,
        "inputSchema": schema_text(tool.input_json_schema, DRAFT_2020),
    }
    if tool.output_json_schema is not None:
        wire["outputSchema"] = schema_text(tool.output_json_schema, DRAFT_2020)
    if tool.title is not None:
        wire["title"] = tool.title
    # A function decides call by call; whoever lists the tool is told that it may ask.
    wire["requireApproval"] = tool.require_approval is not False
    return wire
