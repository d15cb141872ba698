"""What a model is sent otherwise than it was asked, and says back: names and left-out fields of tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mastra.jsonable import Json, dump_wire, load_json
from mastra.models.base import ChunkSource, Model, ModelRequest
from mastra.models.chunks import ModelChunk, ToolCallEnd, ToolCallStart
from mastra.models.schema_parts import without_nulls
from mastra.models.tool_names import TOOL_NAME, sent_request

__all__ = ["ReadBack", "ReadBackSource", "prepare"]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """How to read what a model says of tools."""

    names: Mapping[str, str]
    """The tools' own names, by those on the wire."""
    schemas: Mapping[str, dict[str, Json]]
    """Of the input of tools whose every field the model has to give, by their own names."""

    def read(self, batch: Sequence[ModelChunk]) -> Sequence[ModelChunk]:
        """Return chunks as the tools' own."""
        return [self._chunk(chunk) for chunk in batch]

    def _chunk(self, chunk: ModelChunk) -> ModelChunk:
        if not isinstance(chunk, (ToolCallStart, ToolCallEnd)) or chunk.provider_executed:
            return chunk
        name = self.names.get(chunk.tool_name, chunk.tool_name)
        if name != chunk.tool_name:
            chunk = replace(chunk, tool_name=name)
        schema = self.schemas.get(name)
        if schema is not None and isinstance(chunk, ToolCallEnd) and "null" in chunk.args_text:
            chunk = replace(chunk, args_text=_given(chunk.args_text, schema))
        return chunk


def _given(text: str, schema: Mapping[str, Any]) -> str:
    """Return arguments without the fields that a model had to give, and left out."""
    try:
        given = load_json(text)
    except ValueError:
        return text  # the agent tells the model so
    found = without_nulls(given, schema, schema)
    return text if found == given else dump_wire(found).decode()


def prepare(request: ModelRequest, model: Model) -> tuple[ModelRequest, ReadBack | None]:
    """Return what a model is sent, and how its answer is read; `None` where nothing is to be done."""
    rule: re.Pattern[str] = getattr(model, "tool_name_rule", TOOL_NAME)
    sent, names = sent_request(request, rule)
    schemas = {tool.name: tool.parameters for tool in request.tools if tool.strict}
    return sent, ReadBack(names, schemas) if names or schemas else None


class ReadBackSource:
    """An answer under way, of which something is read otherwise than it comes."""

    __slots__ = ("_back", "_source", "request")

    def __init__(self, source: ChunkSource, back: ReadBack) -> None:
        self.request = source.request
        self._source = source
        self._back = back

    async def read(self) -> Sequence[ModelChunk]:
        """Return the next chunks; nothing at the end."""
        return self._back.read(await self._source.read())

    def interrupt(self) -> None:
        """Make a `read` that waits raise."""
        self._source.interrupt()

    async def aclose(self) -> None:
        """Release the connection."""
        await self._source.aclose()
