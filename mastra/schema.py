"""Wraps a type that pydantic can validate: validate in, dump out, describe.

A schema is compiled on its first use, not when it is made: a program that imports a hundred
steps pays only for those it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import pydantic
import pydantic_core

from mastra.errors import ValidationError
from mastra.failures import contained
from mastra.jsonable import Json, dump_json, encodable, to_jsonable, unserializable

__all__ = ["ANY", "Schema", "SchemaMismatch", "schema_of"]

T = TypeVar("T")


class SchemaMismatch(Exception):  # noqa: N818 - turned into the caller's own error
    """A value did not meet a schema. Callers raise their own error from it, saying where."""

    def __init__(self, issues: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(self.describe(issue) for issue in issues))
        self.issues = issues

    @staticmethod
    def describe(issue: dict[str, Any]) -> str:
        """Return one issue as `path.to.field: message`."""
        path = ".".join(str(part) for part in issue["path"])
        return f"{path}: {issue['message']}" if path else str(issue["message"])

    def into(self, error: type[ValidationError], text: str, **details: Any) -> ValidationError:
        """Return the public error for this mismatch.

        Args:
            error: The class to make.
            text: What was checked, such as "Input of workflow 'orders'".
            details: Facts for programs.
        """
        return error(
            f"{text} does not match its schema: {self}.", issues=self.issues, details=details
        )


class Schema(Generic[T]):
    """One type, ready to validate, dump and describe.

    `load` and `dump` are plain attributes, replaced by pydantic-core's own bound methods on
    first use, because both are called for each step of each run.
    """

    __slots__ = ("_adapter", "_serialize", "_validate", "is_any", "may_alias", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.is_any = type_ is Any or type_ is object
        self.may_alias = True
        """Whether what `load` gives may hold the very dicts and lists that it was given. Known
        once the schema is compiled."""
        self._adapter: pydantic.TypeAdapter[T] | None = None
        self._validate: Callable[[Any], T] | None = None
        self._serialize: Callable[..., Json] | None = None

    def __repr__(self) -> str:
        return f"Schema({self.name})"

    @property
    def name(self) -> str:
        """The type's name, for messages."""
        return getattr(self.type, "__name__", None) or str(self.type)

    @property
    def adapter(self) -> pydantic.TypeAdapter[T]:
        """The compiled pydantic adapter."""
        if self._adapter is None:
            self._adapter = pydantic.TypeAdapter(self.type)
        return self._adapter

    def compile(self) -> None:
        """Compile now rather than on first use.

        Raises:
            pydantic.errors.PydanticSchemaGenerationError: pydantic cannot validate the type.
        """
        adapter = self.adapter
        self._validate = cast(
            "Callable[[Any], T]",
            adapter.validate_python
            if not _is_built(adapter)
            else adapter.validator.validate_python,
        )
        self._serialize = adapter.serializer.to_python
        self.may_alias = _may_alias(adapter.core_schema)

    def load(self, value: object) -> T:
        """Validate a Python value or JSON data into the type.

        Raises:
            SchemaMismatch: It does not fit.
        """
        if self.is_any:
            return cast("T", value)
        if self._validate is None:
            self.compile()
        try:
            return self._validate(value)  # pyright: ignore[reportOptionalCall]
        except pydantic_core.ValidationError as error:
            return self._load_json(value, error)
        except (SystemExit, GeneratorExit, StopIteration, StopAsyncIteration) as error:
            raise contained(error) from error  # a validator of the user's may do anything

    def _load_json(self, value: object, error: pydantic_core.ValidationError) -> T:
        # A strict model takes a date's text from JSON and not from Python, and what reaches a
        # step has been JSON; so a refusal is final only when the JSON reading refuses as well.
        if isinstance(value, (dict, list, str)):
            try:
                return self.adapter.validate_json(dump_json(cast("Json", value)))
            except (pydantic_core.ValidationError, ValidationError):
                pass
        raise SchemaMismatch(issues_of(error)) from None

    def dump(self, value: T, *, what: str = "value") -> Json:
        """Turn a value of the type into plain JSON data, by alias.

        Raises:
            SerializationError: Part of it cannot be JSON.
        """
        if self.is_any:
            return to_jsonable(value, what=what)
        if self._serialize is None:
            self.compile()
        try:
            plain = self._serialize(value, mode="json", by_alias=True)  # pyright: ignore[reportOptionalCall]
        except (pydantic_core.PydanticSerializationError, ValueError) as error:
            raise unserializable(value, what) from error
        return encodable(plain, what)

    def json_schema(self, mode: str = "validation") -> dict[str, Any]:
        """Return the JSON Schema of the type (draft 2020-12), `{}` where it has none."""
        if self.is_any:
            return {}
        return self.adapter.json_schema(by_alias=True, mode=cast("Any", mode))


_UNTOUCHED = frozenset({"any", "is-instance", "function-plain"})
_NOT_SCHEMAS = frozenset({"cls", "config", "default", "metadata", "ref", "serialization"})


def _may_alias(core: Any) -> bool:
    """Return whether part of what a core schema validates is passed through as it is."""
    if isinstance(core, dict):
        schema = cast("dict[str, Any]", core)
        kind = schema.get("type")
        if kind in _UNTOUCHED or (kind == "list" and "items_schema" not in schema):
            return True
        if "allow" in (schema.get("extra_behavior"), schema.get("extra_fields_behavior")):
            return True
        config: Any = schema.get("config") or {}
        if config.get("extra_fields_behavior") == "allow":
            return True
        return any(_may_alias(part) for key, part in schema.items() if key not in _NOT_SCHEMAS)
    if isinstance(core, (list, tuple)):
        return any(_may_alias(part) for part in cast("list[Any]", core))
    return False


def _is_built(adapter: pydantic.TypeAdapter[Any]) -> bool:
    return isinstance(adapter.validator, pydantic_core.SchemaValidator)


def issues_of(error: pydantic_core.ValidationError) -> list[dict[str, Any]]:
    """Return pydantic's errors as `{"path", "message"}`, the form that travels."""
    return [
        {"path": list(item["loc"]), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]


ANY: Schema[Any] = Schema(Any)
"""Accepts everything and dumps by the value's own type."""

_cache: dict[Any, Schema[Any]] = {}


def schema_of(type_: Any) -> Schema[Any]:
    """Return the schema of a type; `None` and `inspect.Parameter.empty` mean anything.

    Named types share one schema, since compiling is what costs.
    """
    if type_ is None or type_ is Any:
        return ANY
    if isinstance(type_, Schema):
        return cast("Schema[Any]", type_)
    try:
        found = _cache.get(type_)
    except TypeError:  # unhashable, such as Annotated with a list in it
        return Schema(type_)
    if found is None:
        found = cast("Schema[Any]", Schema(type_))
        # Only classes that a module names live as long as the program; others are not kept.
        if isinstance(type_, type) and "<locals>" not in type_.__qualname__:
            _cache[type_] = found
    return found
