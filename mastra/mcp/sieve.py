"""Lists that an MCP server gives, without what in them cannot be read.

The SDK reads a list as a whole, so one odd entry would cost all the others. Entries are looked at one by
one before it does: what an entry can do without is left out of it, and one that still cannot be
read is left out of the list.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, Final, cast

from mastra.json_schemas import short
from mastra.logs import get_logger

__all__ = ["Sieve"]

_METHODS: Final = {
    "tools": "tools/list",
    "prompts": "prompts/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
}
"""What is asked for a list, by the field of the answer that has it."""
_NEEDED: Final = frozenset(("name", "inputSchema", "arguments", "uri", "uriTemplate"))
"""What an entry is nothing without, or would take something else without."""


class Sieve:
    """Takes out of a server's lists what cannot be read, and tells of it once.

    Args:
        server: What the client calls the server.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._told: set[str] = set()

    def clean(self, answer: dict[str, Any], version: str) -> None:
        """Leave in an answer of the server's what can be read, where it is a list.

        Args:
            answer: Changed in place.
            version: Of the protocol.
        """
        for field, method in _METHODS.items():
            listed: Any = answer.get(field)
            if isinstance(listed, list) and "content" not in answer:  # else a tool's result
                rest: dict[str, Any] = {**answer, field: []}
                items = cast("list[Any]", listed)
                answer[field] = [
                    item for item in items if self._is_readable(item, field, method, version, rest)
                ]

    def tell(self, text: str) -> None:
        """Tell of something odd about the server, once."""
        if text not in self._told:
            self._told.add(text)
            get_logger({"mcpServer": self._server}).warning(
                "MCP server %r offers %s", self._server, text
            )

    def _is_readable(
        self, item: Any, field: str, method: str, version: str, rest: dict[str, Any]
    ) -> bool:
        if field == "tools":
            _complete(item)
        what = _what(item, field)
        while True:
            odd = _odd_parts({**rest, field: [item]}, field, method, version)
            if not odd:
                break
            needed = [part for part in odd if part is None or part in _NEEDED]
            if needed:
                why = odd[needed[0]]
                self.tell(f"{what} that cannot be used and is left out: {why}")
                return False
            for part, why in odd.items():
                del item[part]
                self.tell(f"{what} whose {part} cannot be read and is passed over: {why}")
        why = _unreadable_output(item) if field == "tools" else None
        if why is not None:
            del item["outputSchema"]
            self.tell(f"{what} whose outputSchema cannot be read and is passed over: {why}")
        return True


def _what(item: Any, field: str) -> str:
    name = cast("dict[str, Any]", item).get("name") if isinstance(item, dict) else item
    kind = {"resourceTemplates": "template"}.get(field, field.removesuffix("s"))
    return f"a {kind} {str(name)[:100]!r}"


def _complete(tool: Any) -> None:
    """Say of a tool's input what its schema leaves open: it is an object, nothing else is sent."""
    if not isinstance(tool, dict):
        return
    fields = cast("dict[str, Any]", tool)
    schema: Any = fields.get("inputSchema")
    if not schema:
        fields["inputSchema"] = {"type": "object"}
    elif isinstance(schema, dict):
        known = cast("dict[str, Any]", schema)
        kind: Any = known.get("type")
        if kind is None or (isinstance(kind, list) and "object" in kind):
            known["type"] = "object"
        if known.get("properties") == []:  # as PHP writes an object that holds nothing
            known["properties"] = {}


def _odd_parts(answer: Any, field: str, method: str, version: str) -> dict[str | None, str]:
    """Return what the SDK cannot read of a list's only entry: why, by the part's name.

    The part is `None` where it is the entry itself. What is odd about the answer is not told here: the SDK tells it.
    """
    from mcp_types import methods  # noqa: PLC0415 - an optional package
    from pydantic import ValidationError  # noqa: PLC0415 - it takes long to load

    try:
        methods.parse_server_result(method, version, answer)
    except ValidationError as error:
        found: dict[str | None, str] = {}
        for one in error.errors(include_url=False, include_input=False):
            if one["loc"][:2] == (field, 0):
                part, *inner = *one["loc"][2:], None
                path = ".".join(str(step) for step in (part, *inner[:-1]) if step is not None)
                found.setdefault(cast("str | None", part), f"{path}: {one['msg']}".lstrip(": "))
        return found
    except KeyError:  # a list that this version does not have: the SDK takes it as it is
        return {}
    return {}


def _unreadable_output(tool: Any) -> str | None:
    """Return why nothing can be held against the schema of what a tool gives."""
    schema: Any = tool.get("outputSchema")
    return None if schema is None else _unreadable(json.dumps(schema))


@functools.lru_cache(maxsize=256)
def _unreadable(text: str) -> str | None:
    # Before the tool is called: the SDK finds it out after that, and throws away what the tool gave.
    from jsonschema import SchemaError  # noqa: PLC0415 - an optional package's
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import SchemaRegistry  # noqa: PLC0415

    schema: Any = json.loads(text)
    kind: Any = validator_for(schema)
    empty: SchemaRegistry = Registry()
    try:
        kind.check_schema(schema)
        validator = kind(schema, registry=empty)
        for ref in _refs(schema):
            # Of any value: what matters is that the reference leads somewhere.
            next(validator.evolve(schema={"$ref": ref}).iter_errors(None), None)
    except SchemaError as error:
        return short(error.message)
    except Unresolvable as error:
        return f"it refers to what is not in it: {error}"
    except RecursionError:
        return "it refers to itself without an end"
    return None


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, part in cast("dict[str, Any]", schema).items():
            if key == "$ref" and isinstance(part, str):
                yield part
            yield from _refs(part)
    elif isinstance(schema, list):
        for part in cast("list[Any]", schema):
            yield from _refs(part)
