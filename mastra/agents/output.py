"""Structured output: a schema in, a checked value out, and partial values on the way."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, cast

import pydantic_core

from mastra.agents.answer_json import json_in, json_start, without_thoughts
from mastra.errors import ConfigError, ModelError
from mastra.jsonable import Json
from mastra.models.base import ResponseFormat
from mastra.models.resolve import ModelInput
from mastra.names import python_names, python_options
from mastra.schema import ANY, Schema, SchemaMismatch, schema_of

__all__ = ["OutputReader", "StructuredOutput"]

T = TypeVar("T")
_NOTHING: Final = object()


@python_names
@python_options
@dataclass(frozen=True)
class StructuredOutput(Generic[T]):
    """What an answer must be.

    Args:
        schema: A type that pydantic can validate, or a JSON Schema.
    """

    schema: type[T] | Any
    """A type that pydantic can validate, or a JSON Schema."""
    model: ModelInput | None = None
    """A second model that turns the first one's text into the object."""
    instructions: str | None = None
    """What to tell the second model."""
    error_strategy: Literal["strict", "warn", "fallback"] = "strict"
    """What to do with an answer that does not fit: raise, log and give none, or a fallback."""
    fallback_value: Any = None
    """What `fallback` gives."""
    json_prompt_injection: bool | Literal["system", "inline", "auto"] = False
    """Put the schema into the prompt, for providers that cannot be held to one."""
    strict: bool = True
    """Whether the provider must keep to the schema."""

    @classmethod
    def of(cls, value: Any) -> StructuredOutput[Any]:
        """Return it for itself, a type, a JSON Schema, or a dict with `schema` in it."""
        if isinstance(value, StructuredOutput):
            return cast("StructuredOutput[Any]", value)
        if isinstance(value, Mapping) and "schema" in cast("Mapping[str, Any]", value):
            known = {_snake(key): item for key, item in cast("Mapping[str, Any]", value).items()}
            try:
                return StructuredOutput(**known)
            except TypeError as error:
                raise ConfigError(f"structured_output: {error}") from error
        return StructuredOutput(cast("Any", value))

    @property
    def json_schema(self) -> dict[str, Json]:
        """The JSON Schema, as OpenAI's strict mode wants it where it can be."""
        if isinstance(self.schema, Mapping):
            return dict(cast("Mapping[str, Json]", self.schema))
        made = schema_of(self.schema).json_schema()
        return strict_form(made) if self.strict else made

    @property
    def validator(self) -> Schema[Any]:
        """Checks the answer; a JSON Schema is the provider's to keep to."""
        return ANY if isinstance(self.schema, Mapping) else schema_of(self.schema)

    @property
    def wraps(self) -> bool:
        """Whether the answer is wrapped in an object, since a provider wants one at the top."""
        return self.json_schema.get("type") != "object" and "anyOf" not in self.json_schema

    def response_format(self) -> ResponseFormat:
        """Return what the model is told."""
        schema = self.json_schema
        if self.wraps:
            schema = _wrapped(schema)
        return ResponseFormat(schema, strict=self.strict and is_strict(schema))

    def prompt(self) -> str:
        """Return the words that tell a model the schema."""
        schema = self.response_format().schema
        return (
            "Answer with JSON alone, without any other text, that meets this JSON Schema:\n"
            + pydantic_core.to_json(schema).decode()
        )


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def _wrapped(schema: dict[str, Json]) -> dict[str, Json]:
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    wrapped: dict[str, Json] = {
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
    }
    if definitions:
        wrapped["$defs"] = definitions
    return wrapped


def strict_form(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a JSON Schema whose objects take no further fields, as OpenAI's strict mode wants."""
    made = copy.deepcopy(schema)
    _close(made)
    return made


def _close(node: Any) -> None:
    if isinstance(node, dict):
        known = cast("dict[str, Any]", node)
        if known.get("type") == "object" and "properties" in known:
            known.setdefault("additionalProperties", False)
        for child in known.values():
            _close(child)
    elif isinstance(node, list):
        for child in cast("list[Any]", node):
            _close(child)


def is_strict(node: Any) -> bool:
    """Return whether OpenAI's strict mode takes a schema: every field required, none further."""
    if isinstance(node, list):
        return all(is_strict(child) for child in cast("list[Any]", node))
    if not isinstance(node, dict):
        return True
    known = cast("dict[str, Any]", node)
    if known.get("type") == "object":
        names = set(known.get("properties", {}))
        if known.get("additionalProperties") is not False or names != set(
            known.get("required", ())
        ):
            return False
    return "default" not in known and all(is_strict(child) for child in known.values())


class OutputReader:
    """Reads the object out of a text that is still arriving."""

    __slots__ = ("_last", "_output", "_wraps")

    def __init__(self, output: StructuredOutput[Any]) -> None:
        self._output = output
        self._wraps = output.wraps
        self._last: Any = _NOTHING

    def partial(self, text: str) -> Any:
        """Return the object as far as it goes; `None` where there is nothing new."""
        text = without_thoughts(text)
        start = json_start(text)
        if start < 0:
            return None
        try:
            found: Any = pydantic_core.from_json(text[start:], allow_partial="trailing-strings")
        except ValueError:
            return None
        if self._wraps:
            found = found.get("value") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if found is None or found == self._last:
            return None
        self._last = found
        return found  # pyright: ignore[reportUnknownVariableType]

    def final(self, text: str) -> Any:
        """Return the checked object.

        Raises:
            ModelError: The text is not JSON, or does not meet the schema.
        """
        mismatch: SchemaMismatch | None = None
        for data in json_in(text):
            try:
                return self._output.validator.load(self._unwrapped(data))
            except SchemaMismatch as error:
                mismatch = mismatch or error
        if mismatch is None:
            raise ModelError(
                f"Structured output validation failed: the answer is not JSON: {text[:200]!r}.",
                code="STRUCTURED_OUTPUT_INVALID",
                details={"text": text[:1000]},
            )
        raise ModelError(
            f"Structured output validation failed: the answer does not match "
            f"{self._output.validator.name}: {mismatch}.",
            code="STRUCTURED_OUTPUT_INVALID",
            details={"issues": mismatch.issues, "text": text[:1000]},
        ) from None

    def _unwrapped(self, data: Any) -> Any:
        if self._wraps and isinstance(data, dict):
            known = cast("dict[str, Any]", data)
            return known["value"] if set(known) == {"value"} else known
        return data
