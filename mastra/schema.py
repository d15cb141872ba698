"""Wraps a type that pydantic can validate: validate in, dump out, keep and read back, describe.

A value has two forms in JSON. `load` and `dump` are for the wire: what clients send and see, by alias,
with computed fields. `pack` and `unpack` are for what is kept between steps: by the fields' own names,
without what is computed, so that it reads back as it was; what would not is refused.

A schema is compiled on its first use, not when it is made: a program that imports a hundred
steps pays only for those it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import orjson

from mastra.errors import ConfigError, MastraError, SerializationError, ValidationError
from mastra.failures import name_of
from mastra.given import SCHEMA, shown
from mastra.jsonable import (
    MAX_DEPTH,
    UNWRITABLE,
    Json,
    check_written,
    dump_json,
    encodable,
    to_jsonable,
    to_kept,
    unserializable,
)
from mastra.late import LateModule
from mastra.likeness import Difference, difference
from mastra.logs import get_logger
from mastra.type_facts import TypeFacts, allows_extra, exact_form, facts_of, parts_of

if TYPE_CHECKING:
    import pydantic
    import pydantic_core
else:
    pydantic, pydantic_core = LateModule("pydantic"), LateModule("pydantic_core")

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

    __slots__ = (
        "_adapter",
        "_facts",
        "_keep",
        "_read",
        "_reader",
        "_serialize",
        "_sole",
        "_validate",
        "is_any",
        "may_alias",
        "model",
        "type",
    )

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.is_any = type_ is Any or type_ is object
        self.may_alias = True
        """Whether what `load` gives may hold the very dicts and lists that it was given. Known
        once the schema is compiled."""
        self._adapter: pydantic.TypeAdapter[T] | None = None
        self._validate: Callable[[Any], T] | None = None
        self._serialize: Callable[..., Json] | None = None
        self.model: type | None = None
        """The class whose objects pydantic takes as they are."""
        self._facts = _ANY_FACTS if self.is_any else None
        self._keep: Callable[..., Json] | None = None
        self._read: Callable[..., T] | None = None
        self._reader: pydantic_core.SchemaValidator | None = None
        self._sole: type | None = None
        """The one model in the type, where that is the type itself: no part of a value of exactly
        that class can be of a subclass."""

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
        self.model = _taken_as_it_is(adapter.core_schema)

    def load(self, value: object) -> T:
        """Validate a Python value or JSON data into the type.

        Raises:
            SchemaMismatch: It does not fit.
        """
        if self.is_any:
            return cast("T", value)
        if self._validate is None:
            self.compile()
        if type(value) is self.model:
            return value  # pyright: ignore[reportReturnType]  # `cast` is a call
        try:
            return self._validate(value)  # pyright: ignore[reportOptionalCall]
        except pydantic_core.ValidationError as error:
            return self._load_json(value, error)
        except _BY_VALIDATORS as error:
            raise self._raised(error) from error

    def _load_json(self, value: object, error: pydantic_core.ValidationError) -> T:
        if inspect.isawaitable(value):
            told = f"an `await` is missing: it is {value!r}"
            raise SchemaMismatch([{"path": [], "message": told}]) from None
        # A strict model takes a date's text from JSON and not from Python, and what reaches a
        # step has been JSON; so a refusal is final only when the JSON reading refuses as well.
        if isinstance(value, (dict, list, str)):
            try:
                return self.adapter.validate_json(dump_json(cast("Json", value)))
            except _BY_VALIDATORS:
                pass  # what was wrong at first is told
        raise SchemaMismatch(issues_of(error)) from None

    def _raised(self, error: BaseException) -> Exception:
        """Return the mismatch for what a validator raised that is no `ValueError`.

        What the author raises on purpose stays. What the exception says is for the log alone: it
        was not written for whoever sent the value.
        """
        if isinstance(error, (MastraError, pydantic.PydanticUserError)):
            return error
        raised_in = error.__traceback__ and error.__traceback__.tb_next
        code = None if raised_in is None else raised_in.tb_frame.f_code
        which = "a validator" if code is None else f"validator {code.co_qualname}"
        message = f"{which} of {self.name} raised {name_of(error)}"
        get_logger().error("%s", message, exc_info=error)
        return SchemaMismatch([{"path": _fields_of(self.type, code), "message": message}])

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
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a serialiser or computed field raises anything
            raise unserializable(value, what, error) from error
        return encodable(plain, what)

    # -- what is kept ------------------------------------------------------------------------

    @property
    def facts(self) -> TypeFacts:
        """What is in the type, for whoever keeps its values."""
        return self._facts or self._prepare()

    def _prepare(self) -> TypeFacts:
        """Compile what keeps values and reads them back."""
        adapter = self.adapter
        if not _is_built(adapter):
            adapter.rebuild()
        core: Any = adapter.core_schema
        facts = facts_of(core)
        self.may_alias = _may_alias(core)
        self._reader = cast("pydantic_core.SchemaValidator", adapter.validator)
        serializer = adapter.serializer
        if facts.is_inexact:
            core = exact_form(core)
            facts.has_wire = True
            self._reader = pydantic_core.SchemaValidator(core, _use_prebuilt=False)
        if facts.is_inexact or facts.has_any:
            # What is of no declared type is written by the settings of the outermost serializer.
            exact = pydantic_core.CoreConfig(ser_json_inf_nan="constants")
            serializer = pydantic_core.SchemaSerializer(core, exact, _use_prebuilt=False)
        self._keep = serializer.to_python
        self._read = self._reader.validate_python
        if facts.has_names:
            # What was kept by alias, before names were, reads as well where no two can be mixed up.
            self._read = partial(self._read, by_name=True, by_alias=not facts.is_ambiguous)
        if core["type"] == "model" and len(facts.classes) == 1:  # one that holds itself has a name
            self._sole = facts.classes[0]
        self._facts = facts
        return facts

    def pack(self, value: T, *, what: str = "value") -> Json:
        """Turn a value of the type into JSON data that `unpack` reads back as it was.

        Raises:
            SerializationError: Part of it cannot be JSON, or would read back otherwise.
        """
        if self.is_any:
            return _pack_any(value, what)
        facts = self._facts or self._prepare()
        try:
            packed = self._keep(  # pyright: ignore[reportOptionalCall]
                value, mode="json", by_alias=False, round_trip=True, warnings=False
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a serialiser or computed field raises anything
            raise unserializable(value, what, error) from error
        try:  # as `check_plain`, which is a call more for each step of each run
            written = orjson.dumps(packed)
        except UNWRITABLE:
            written = None
        if written is None or len(written) > MAX_DEPTH:
            check_written(packed, written, what)
        if facts.is_doubtful or facts.has_any:
            self._check(value, packed, what)
            return packed
        if type(value) is self._sole:
            return packed
        for cls in facts.classes:
            if cls.__subclasses__():
                self._check(value, packed, what)
                break
        return packed

    def _check(self, value: T, packed: Json, what: str) -> None:
        try:
            read_as = _read_as if self.facts.has_any else None
            found = difference(value, self._unpacked(packed), read_as)
        except pydantic_core.ValidationError as error:
            issue = issues_of(error)[0]
            found = (tuple(issue["path"]), f"cannot be read back: {issue['message']}")
        if found is not None:
            raise _not_kept(found, what)

    def unpack(self, value: Json) -> T:
        """Read what `pack` gave, or JSON in the form of the wire where it can be told.

        Raises:
            SchemaMismatch: It does not fit.
        """
        if self.is_any:
            return cast("T", value)
        if self._facts is None:
            self._prepare()
        try:
            return self._read(value)  # pyright: ignore[reportOptionalCall]
        except pydantic_core.ValidationError as error:
            return self._unpack_otherwise(value, error)
        except _BY_VALIDATORS as error:
            raise self._raised(error) from error

    def _unpacked(self, packed: Json) -> T:
        """Read what was just kept, in no other form."""
        try:
            return self._read(packed)  # pyright: ignore[reportOptionalCall]
        except pydantic_core.ValidationError:
            if not isinstance(packed, (dict, list, str)):
                raise
        return self._reader.validate_json(  # pyright: ignore[reportOptionalMemberAccess]
            dump_json(cast("Json", packed)), by_name=True if self.facts.has_names else None
        )

    def _unpack_otherwise(self, value: Json, error: pydantic_core.ValidationError) -> T:
        # A strict model takes a date's text from JSON alone; and a value may have been kept by
        # alias, by a step of another type or by an older version.
        try:
            return self._unpacked(value)
        except _BY_VALIDATORS:
            pass
        if self.facts.has_names:
            try:
                return self.load(value)
            except SchemaMismatch:
                pass
        raise SchemaMismatch(issues_of(error)) from None

    def name_of(self, key: str) -> str:
        """Return the name of the field that a key of the wire stands for, or the key."""
        return key if self.is_any else (self.facts.names or {}).get(key, key)

    def to_wire(self, kept: Json) -> Json:
        """Return what clients see of what is kept."""
        if kept is None or self.is_any or not self.facts.has_wire:
            return kept
        try:
            return self.dump(self.unpack(kept))
        except (SchemaMismatch, MastraError, pydantic.PydanticUserError):
            return kept  # not of the type, where nobody checked it, or its own code cannot show it

    def json_schema(self, mode: str = "validation", *, by_alias: bool = True) -> dict[str, Any]:
        """Return the JSON Schema of the type (draft 2020-12), `{}` where it has none.

        Args:
            mode: `validation` for what is taken, `serialization` for what is given.
            by_alias: Whether of the form of the wire, or of what is kept.
        """
        if self.is_any:
            return {}
        return self.adapter.json_schema(by_alias=by_alias, mode=cast("Any", mode))


_ANY_FACTS = TypeFacts(has_any=True)


def _read_as(type_: type, kept: Json) -> Any:
    return schema_of(type_).unpack(kept)


def _pack_any(value: Any, what: str) -> Json:
    packed = to_kept(value, what=what)
    if packed is value:
        return packed
    try:
        is_plain = bool(packed == value)
    except Exception:  # noqa: BLE001 - a comparison of the author's own
        is_plain = False
    if not is_plain:
        found = difference(value, packed, _read_as)
        if found is not None:
            raise _not_kept(found, what)
    return packed


def _not_kept(found: Difference, what: str) -> SerializationError:
    path, reason = found
    where = ".".join(str(part) for part in path) or "the value itself"
    return SerializationError(
        f"{what} cannot be kept: {where} {reason}. Secrets, fields left out of the dump and what a "
        "validator or serializer changes do not travel: keep them elsewhere and pass what finds them.",
        issues=[{"path": list(path), "message": reason}],
        code="VALUE_NOT_KEPT",
    )


_UNTOUCHED = frozenset({"any", "is-instance", "function-plain", "function-wrap"})
"""What gives the value itself, or may: one that wraps another validator need not call it."""

_INNER = {"dict": "values_schema"} | dict.fromkeys(
    ("list", "set", "frozenset", "generator"), "items_schema"
)
"""By kind what is not there where parts are passed through as they are."""


def _may_alias(core: Any) -> bool:
    """Return whether part of what a core schema validates is passed through as it is."""
    if isinstance(core, dict):
        schema = cast("dict[str, Any]", core)
        kind: str = schema.get("type", "")
        if kind in _UNTOUCHED or (kind in _INNER and _INNER[kind] not in schema):
            return True
        if allows_extra(schema):
            return True
        return any(map(_may_alias, parts_of(schema)))
    if isinstance(core, (list, tuple)):
        return any(_may_alias(part) for part in cast("list[Any]", core))
    return False


def _taken_as_it_is(core: Any) -> type | None:
    """Return the model whose objects a core schema does not look into, where it is such a one."""
    if core.get("type") != "model" or core.get("root_model"):
        return None
    config: Any = core.get("config") or {}
    again = core.get("revalidate_instances") or config.get("revalidate_instances") or "never"
    return cast("type", core["cls"]) if again == "never" else None


def _is_built(adapter: pydantic.TypeAdapter[Any]) -> bool:
    return isinstance(adapter.validator, pydantic_core.SchemaValidator)


_BY_VALIDATORS = (Exception, SystemExit, GeneratorExit)
"""What a validator of the user's may raise; a cancel and Ctrl-C are nobody's answer."""


def _fields_of(type_: Any, code: CodeType | None) -> list[str]:
    """Return the field that a validator is of, where it is that of one."""
    decorators = getattr(type_, "__pydantic_decorators__", None)
    known: Any = None if code is None else getattr(decorators, "field_validators", {})
    found = None if not known else known.get(cast("CodeType", code).co_name)
    fields = () if found is None else cast("tuple[str, ...]", found.info.fields)
    return [*fields] if len(fields) == 1 else []


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
        found = None
    if found is None:
        if not SCHEMA.holds(type_):
            hint = (
                ": it is not read as a JSON Schema here, since nothing would be checked by it"
                if isinstance(type_, Mapping)
                else ""
            )
            raise ConfigError(f"{shown(type_)} is no schema. A schema is {SCHEMA.words}{hint}.")
        found = cast("Schema[Any]", Schema(type_))
        # Only classes that a module names live as long as the program; others are not kept.
        if isinstance(type_, type) and "<locals>" not in type_.__qualname__:
            _cache[type_] = found
    return found
