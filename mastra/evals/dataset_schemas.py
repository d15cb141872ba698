"""Schemas of datasets: what the inputs and ground truths of their items have to look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from mastra.errors import InputValidationError
from mastra.json_schemas import JsonSchema
from mastra.jsonable import Json
from mastra.schema import schema_of

__all__ = ["DatasetSchemas", "as_json_schema", "turns_of"]

_FIELDS: Final = {"input": "inputSchema", "groundTruth": "groundTruthSchema"}
"""By what an item has, where its dataset says how that looks."""
_TOLD: Final = 5
"""How many items an error tells of."""

Fields = Mapping[str, Any]


def as_json_schema(given: Any) -> dict[str, Json] | None:
    """Return a JSON Schema for itself, or for a type that pydantic can validate."""
    if given is None or isinstance(given, dict):
        return cast("dict[str, Json] | None", given)
    return schema_of(given).json_schema()


class DatasetSchemas:
    """What a dataset says of its items.

    Args:
        about: The fields of the dataset, as the wire has them.

    Raises:
        InputValidationError: One of them is no JSON Schema.
    """

    def __init__(self, about: Fields) -> None:
        self._of = {
            field: JsonSchema(about[name], f"{name} of the dataset")
            for field, name in _FIELDS.items()
            if about.get(name) is not None
        }

    def check(self, items: Iterable[tuple[str, Fields]]) -> None:
        """Check items, given as ids with the fields that the wire has.

        Raises:
            InputValidationError: Some do not fit.
        """
        if not self._of:
            return
        found = [issue for name, item in items for issue in self._issues(name, item)]
        if found:
            told = "; ".join(issue["message"] for issue in found[:_TOLD])
            more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
            raise InputValidationError(
                f"What does not fit the schema of the dataset: {told}{more}.", issues=found
            )

    def _issues(self, name: str, item: Fields) -> Iterator[dict[str, Any]]:
        for field, schema in self._of.items():
            if field != "input" and item.get(field) is None:
                continue
            issue = _mismatch(schema, item.get(field))
            if issue is not None:
                path = [field, *issue["path"]]
                where = ".".join(map(str, path))
                yield {"path": path, "message": f"item {name!r}, {where}: {issue['message']}"}


def _mismatch(schema: JsonSchema, value: Any) -> dict[str, Any] | None:
    """Return what is wrong with a value, if anything; a conversation fits where each turn does."""
    found, turns = schema.issues(value), turns_of(value)
    if found and turns is not None:
        of_turns = (schema.issues(turn) for turn in turns)
        found = next((issues for issues in of_turns if issues), list[dict[str, Any]]())
    return found[0] if found else None


def turns_of(value: Any) -> list[Any] | None:
    """Return the turns of an item's input that is a conversation, as it is stored."""
    fields: Fields = cast("Fields", value) if isinstance(value, dict) else {}
    turns = fields.get("inputs")
    return cast("list[Any]", turns) if len(fields) == 1 and isinstance(turns, list) else None
