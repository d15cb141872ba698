"""Structured output: a schema in, a checked value out, and partial values on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, cast, get_args, get_origin

import pydantic_core
from pydantic import RootModel
from pydantic.errors import PydanticUserError

from mastra.agents.answer_json import json_in, json_start, without_thoughts
from mastra.buildable import given_schema
from mastra.errors import ConfigError, InputValidationError, ModelError
from mastra.given import FLAG, JSON_SCHEMA, SCHEMA, TEXT, check_given, either, one_of
from mastra.json_schemas import JsonSchema
from mastra.jsonable import Json
from mastra.models.base import ResponseFormat
from mastra.models.openai_schema import strict_form
from mastra.models.resolve import MODEL, ModelInput
from mastra.models.schema_dialects import standard
from mastra.models.schema_parts import (
    is_object,
    leaves_out,
    resolved,
    without_nulls,
    without_text,
)
from mastra.names import python_names, python_options, snake
from mastra.schema import ANY, Schema, SchemaMismatch, schema_of

__all__ = ["OutputReader", "StructuredOutput"]

T = TypeVar("T")
_NOTHING: Final = object()
_WRAPPED: Final = re.compile(r'\{\s*(\}|"(v|va|val|valu|value"?)?\s*$|"value"\s*:|$)')
"""How an answer in its wrapping begins, as far as it has come."""
_OF_ITSELF: Final = re.compile(r"#(/(?!\$defs/|definitions/)|$)")
"""References that lead from the top of a schema to other than its definitions, which stay there."""


_FORMS: Final = {
    "schema": either(SCHEMA, JSON_SCHEMA),
    "model": MODEL,
    "instructions": TEXT,
    "error_strategy": one_of("strict", "warn", "fallback"),
    "json_prompt_injection": one_of(True, False, "system", "inline", "auto"),
    "strict": FLAG,
}


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

    def __post_init__(self) -> None:
        check_given("StructuredOutput", vars(self), _FORMS)
        if not isinstance(self.schema, Mapping):
            given_schema(self.schema, "The schema of StructuredOutput")

    @classmethod
    def of(cls, value: Any) -> StructuredOutput[Any]:
        """Return it for itself, a type, a JSON Schema, or a dict with `schema` in it."""
        if isinstance(value, StructuredOutput):
            return cast("StructuredOutput[Any]", value)
        if isinstance(value, Mapping) and "schema" in cast("Mapping[str, Any]", value):
            known = {snake(key): item for key, item in cast("Mapping[str, Any]", value).items()}
            try:
                return StructuredOutput(**known)
            except TypeError as error:
                raise ConfigError(f"structured_output: {error}") from error
        return StructuredOutput(cast("Any", value))

    @cached_property
    def json_schema(self) -> dict[str, Json]:
        """The JSON Schema of the object.

        Raises:
            ConfigError: It has none.
        """
        if isinstance(self.schema, Mapping):
            return standard(cast("Mapping[str, Json]", self.schema))
        schema = schema_of(self.schema)
        try:
            return schema.json_schema()
        except PydanticUserError as error:
            raise ConfigError(
                f"structured_output: {schema.name} has no JSON Schema that a model can be shown: "
                f"{error.message.rstrip('.')}."
            ) from error

    @property
    def validator(self) -> Schema[Any]:
        """The type of the answer; anything, where that is a JSON Schema."""
        return ANY if isinstance(self.schema, Mapping) else schema_of(self.schema)

    @property
    def name(self) -> str:
        """What the answer must be, in words."""
        return "its JSON Schema" if isinstance(self.schema, Mapping) else self.validator.name

    def checked(self, data: Any) -> Any:
        """Return the value of an answer.

        Raises:
            SchemaMismatch: It does not meet the schema.
        """
        value = self.validator.load(data)
        issues = self._misfits(data) if isinstance(self.schema, Mapping) else []
        if issues:
            raise SchemaMismatch(issues)
        return value

    def _misfits(self, data: Any) -> list[dict[str, Any]]:
        """Return what of an answer does not meet its JSON Schema."""
        with suppress(
            InputValidationError
        ):  # it asks for more than may be: the provider's to keep to
            return [] if self._held_to is None else self._held_to.issues(data)
        return []

    @cached_property
    def _held_to(self) -> JsonSchema | None:
        """The JSON Schema; `None` where it is in words that only the provider may know: its to keep to."""
        with suppress(InputValidationError):
            return JsonSchema(self.json_schema, "The schema of the answer")
        return None

    @cached_property
    def element(self) -> Schema[Any] | None:
        """The type of each element of a list; `None` where it cannot be told, or it is no list."""
        kind: Any = self.schema
        if isinstance(kind, Mapping):
            return ANY
        if isinstance(kind, type) and issubclass(kind, RootModel):
            kind = kind.model_fields["root"].annotation
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        origin, parts = cast("Any", get_origin(kind) or kind), get_args(kind)
        # What is no sequence, such as a set, has another order in the end.
        if not isinstance(origin, type) or not issubclass(origin, Sequence):
            return None
        if origin is tuple and parts[1:] != (Ellipsis,):
            return None
        return schema_of(parts[0]) if parts else ANY

    @staticmethod
    def elements(value: Any) -> list[Any]:
        """Return the elements of an object that is a list."""
        if isinstance(value, RootModel):
            value = cast("RootModel[Any]", value).root
        if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, Set)):
            return []
        return [*cast("Sequence[Any] | Set[Any]", value)]

    @cached_property
    def wraps(self) -> bool:
        """Whether the answer is wrapped in an object, since a provider wants one at the top."""
        return not is_object(self._object_schema)

    @cached_property
    def _object_schema(self) -> dict[str, Json]:
        """The schema, without a reference at its top."""
        schema = self.json_schema
        if "$ref" not in schema:
            return schema
        own = {key: part for key, part in schema.items() if key != "$ref"}
        return {**resolved(schema, schema), **own}

    @cached_property
    def may_leave_out(self) -> bool:
        """Whether a model that has to give every field gives null for one that cannot be."""
        return leaves_out(self.json_schema)

    def response_format(self) -> ResponseFormat:
        """Return what the model is told: in the form that it can be held to, if there is one."""
        return self._response_format

    @cached_property
    def _response_format(self) -> ResponseFormat:
        schema = _wrapped(self.json_schema) if self.wraps else self._object_schema
        strict = strict_form(schema) if self.strict else None
        if strict is None:
            return ResponseFormat(schema, strict=False)
        return ResponseFormat(strict, given=schema)

    def prompt(self) -> str:
        """Return the words that tell a model the schema."""
        wanted = self.response_format()
        return (
            "Answer with JSON alone, without any other text, that meets this JSON Schema:\n"
            + pydantic_core.to_json(wanted.given or wanted.schema).decode()
        )


def _wrapped(schema: dict[str, Json]) -> dict[str, Json]:
    inner = dict(schema)
    kept = {key: inner.pop(key) for key in ("$defs", "definitions") if key in inner}
    return {
        "type": "object",
        "properties": {"value": _moved(inner)},
        "required": ["value"],
        "additionalProperties": False,
        **{key: _moved(part) for key, part in kept.items()},
    }


def _moved(node: Any) -> Any:
    """Return a part of a schema whose references to the schema itself lead into the wrapping."""
    if isinstance(node, list):
        return [_moved(item) for item in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    found = {key: _moved(part) for key, part in cast("Mapping[str, Any]", node).items()}
    ref: Any = found.get("$ref")
    if isinstance(ref, str) and _OF_ITSELF.match(ref):
        found["$ref"] = f"#/properties/value{ref[1:]}"
    return found


_GROWTH: Final = 64
_CUT_OFF: Final = ("", '"', "{", "[")
"""How text begins that says nothing, or is JSON that does not end."""


class OutputReader:
    """Reads the object out of a text that is still arriving."""

    __slots__ = ("_due", "_last", "_looked", "_output", "_wraps")

    def __init__(self, output: StructuredOutput[Any]) -> None:
        self._output = output
        self._wraps = output.wraps
        self._last: Any = _NOTHING
        self._looked = self._due = 0
        """How long the text was that was looked at last, and how long the next is to be."""

    def is_due(self, length: int) -> bool:
        """Return whether a text of this length has grown enough to be looked at again.

        Each partial object is all of it, so that one for each piece would be as much as the square
        of the text. With one for each 64th by which that grows, all together are about 64
        times the text, and no reader misses more than it could tell from the rest. Texts that are
        shorter than that, and pieces that are longer, are looked at each time.
        """
        return length >= self._due or length < self._looked

    def partial(self, text: str) -> Any:
        """Return the object as far as it goes; `None` where there is nothing new."""
        self._looked = len(text)
        self._due = self._looked + max(self._looked // _GROWTH, 1)
        text = without_thoughts(text)
        start = json_start(text)
        if start < 0:
            return None
        try:
            found: Any = pydantic_core.from_json(text[start:], allow_partial="trailing-strings")
        except ValueError:
            return None
        if self._wraps and _WRAPPED.match(text, start):
            found = found.get("value") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if found is not None and self._output.may_leave_out:
            found = self._given(found)
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
            for given in self._readings(data):
                try:
                    return self._output.checked(given)
                except SchemaMismatch as error:
                    mismatch = mismatch or error
        plain = without_thoughts(text).strip()
        if mismatch is None and self._wraps and plain[:1] not in _CUT_OFF:
            # One word of several, a date: models that are not held to JSON write it as it is.
            with suppress(SchemaMismatch):
                return self._output.checked(plain)
        if mismatch is None:
            raise ModelError(
                f"Structured output validation failed: the answer is not JSON: {text[:200]!r}.",
                code="STRUCTURED_OUTPUT_INVALID",
                details={"text": text[:1000]},
            )
        raise ModelError(
            f"Structured output validation failed: the answer does not match "
            f"{self._output.name}: {mismatch}.",
            code="STRUCTURED_OUTPUT_INVALID",
            details={"issues": mismatch.issues, "text": text[:1000]},
        ) from None

    def _readings(self, data: Any) -> Iterator[Any]:
        """Yield what may be the object: as it is, then with what was given as JSON text read."""
        schema = self._output.json_schema
        found = self._unwrapped(data)
        yield from found
        for given in found:
            read = without_text(given, schema, schema)
            if read != given:
                yield self._given(read)

    def _unwrapped(self, data: Any) -> list[Any]:
        """Return what may be the object: what is in the wrapping, or all of it."""
        several = [data]
        if self._wraps and isinstance(data, dict):
            known = cast("dict[str, Any]", data)
            several = [known["value"], known] if set(known) == {"value"} else [known]
        if self._output.may_leave_out:
            several = [self._given(given) for given in several]
        return several

    def _given(self, data: Any) -> Any:
        """Return what a model gave, without the fields that it had to give and left out."""
        schema = self._output.json_schema
        return without_nulls(data, schema, schema)
