"""Where the values of a `.map({...})` come from.

A source is a mapping that names one place: a step's result, the workflow's input, a constant,
the request context, a template over those, or a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from mastra.errors import MastraError, WorkflowDefinitionError
from mastra.failures import call_user
from mastra.given import FUNCTION, SCHEMA, TEXT, Form, check_given
from mastra.jsonable import to_kept
from mastra.late import LateModule
from mastra.names import hint
from mastra.schema import SchemaMismatch, schema_of
from mastra.workflows.step import Step
from mastra.workflows.step_context import StepContext

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = LateModule("pydantic")

__all__ = ["map_function"]

_KINDS = ("step", "init_data", "value", "request_context_path", "template", "fn")
_CAMEL = {"initData": "init_data", "requestContextPath": "request_context_path"}


def _names_steps(value: Any) -> bool:
    several = cast("Sequence[Any]", value if isinstance(value, (list, tuple)) else [value])
    return bool(several) and all(isinstance(getattr(one, "id", one), str) for one in several)


_FORMS: Final = {"path": TEXT, "schema": SCHEMA}
"""What a source may have beside what it names."""
_NAMED: Final = {
    "step": Form("a step, its id, or a list of them", _names_steps),
    "request_context_path": TEXT,
    "template": TEXT,
    "fn": FUNCTION,
}
"""What the kinds of sources name that do not take any value."""
_PLACE = re.compile(r"\$\{([^}]*)\}")


def map_function(source: Any, map_id: str) -> Callable[[StepContext[Any]], Any]:
    """Return the function of the context that a map stands for.

    Raises:
        WorkflowDefinitionError: The map is neither a function nor a mapping of sources.
    """
    if isinstance(source, Step):
        raise WorkflowDefinitionError(
            f"Map {map_id!r} is given step {source.id!r}: a step runs by `.then({source.id})`."
        )
    if callable(source):
        return cast("Callable[[StepContext[Any]], Any]", source)
    if not isinstance(source, Mapping):
        raise WorkflowDefinitionError(
            f"Map {map_id!r} takes a function of the context, or a dict of key to source, not "
            f"{type(source).__name__}."
        )
    sources = {
        str(key): _reader(value, map_id, str(key))
        for key, value in cast("Mapping[Any, Any]", source).items()
    }

    async def read(ctx: StepContext[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, reader in sources.items():
            values[key] = await call_user(reader, ctx)
        return values

    return read


def _reader(source: Any, map_id: str, key: str) -> Callable[[StepContext[Any]], Any]:
    where = f"Map {map_id!r}, key {key!r}"
    if callable(source):
        return cast("Callable[[StepContext[Any]], Any]", source)
    if not isinstance(source, Mapping):
        raise WorkflowDefinitionError(f"{where}: a source is a dict or a function.")
    plain = {_CAMEL.get(str(k), str(k)): v for k, v in cast("Mapping[Any, Any]", source).items()}
    kind = _kind_of(plain, where)
    given, path, type_ = plain[kind], plain.get("path") or ".", plain.get("schema")
    match kind:
        case "step":
            return lambda ctx: _dig(_first_result(ctx, given), path, where)
        case "init_data":
            return lambda ctx: _dig(ctx.get_init_data(), path, where)
        case "value":
            value = given if type_ is None else _checked(given, type_, where)
            return lambda _: value
        case "request_context_path":
            return lambda ctx: _dig(ctx.request_context.to_dict(), given, where)
        case "template":
            return lambda ctx: _fill(given, ctx, where)
        case _:
            return given


def _kind_of(source: Mapping[str, Any], where: str) -> str:
    """Return what a source is of, once all that it says can be meant."""
    kinds = [kind for kind in _KINDS if kind in source]
    if len(kinds) != 1:
        raise WorkflowDefinitionError(
            f"{where}: a source names exactly one of {', '.join(map(repr, _KINDS))}, not "
            f"{sorted(source)}."
        )
    kind = kinds[0]
    unknown = source.keys() - {kind, *_FORMS}
    if unknown:
        raise WorkflowDefinitionError(
            f"{where}: a source has no {min(unknown)!r}: beside {kind!r} it may have "
            f"{', '.join(map(repr, _FORMS))}.{hint(unknown, _FORMS)}"
        )
    check_given(where, source, {**_FORMS, **_NAMED}, WorkflowDefinitionError)
    if source[kind] is None and kind in _NAMED:
        raise WorkflowDefinitionError(f"{where}: {kind} takes {_NAMED[kind].words}, not None.")
    return kind


def _checked(value: Any, type_: Any, where: str) -> Any:
    try:
        return schema_of(type_).load(value)
    except SchemaMismatch as mismatch:
        raise WorkflowDefinitionError(
            f"{where}: the value is not of its schema: {mismatch}."
        ) from None


def _first_result(ctx: StepContext[Any], steps: Any) -> Any:
    choices = cast("list[Any]", steps) if isinstance(steps, (list, tuple)) else [steps]
    for step in choices:
        found = ctx.get_step_result(step)
        if found is not None:
            return found
    return None


def _dig(value: Any, path: str, where: str) -> Any:
    """Return what stands at a dotted path, as it is; `.` is the whole."""
    if path in (".", ""):
        return value
    for part in path.split("."):
        value = _part_of(value, part)
        if value is _NOTHING:
            raise MastraError(
                f"{where}: there is nothing at {path!r}; {part!r} is not in the value.",
                code="MAP_PATH_NOT_FOUND",
            )
    return value


_NOTHING: Final = object()


def _part_of(value: Any, part: str) -> Any:
    """Return a part by its key, place or field; a field's name goes before what the wire calls it."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value).get(part, _NOTHING)
    if isinstance(value, pydantic.RootModel) and part != "root":
        return _part_of(cast("pydantic.RootModel[Any]", value).root, part)
    if isinstance(value, pydantic.BaseModel) or is_dataclass(value):
        return _field(cast("object", value), part)
    found = _attribute(value, part)
    if found is not _NOTHING:
        return found
    plain: Any = cast("Any", value) if isinstance(value, (list, tuple)) else to_kept(value)
    if isinstance(plain, (list, tuple)):
        items = cast("Sequence[Any]", plain)
        if part.isdecimal() and int(part) < len(items):
            return items[int(part)]
    return _NOTHING


def _field(value: object, part: str) -> Any:
    extra: Mapping[str, Any] = getattr(value, "__pydantic_extra__", None) or {}
    if part in extra:
        return extra[part]
    return _attribute(value, schema_of(type(value)).name_of(part))


def _attribute(value: Any, name: str) -> Any:
    if name.startswith("_"):
        return _NOTHING
    found = getattr(value, name, _NOTHING)
    return _NOTHING if callable(found) else found


def _fill(template: str, ctx: StepContext[Any], where: str) -> str:
    """Replace `${step.path}`, `${initData.path}` and `${requestContext.path}` by their values."""

    def fill(match: re.Match[str]) -> str:
        root, _, path = match[1].strip().partition(".")
        if root in ("initData", "init_data"):
            value = ctx.get_init_data()
        elif root in ("requestContext", "request_context"):
            value = ctx.request_context.to_dict()
        elif root in ("inputData", "input_data"):
            value = ctx.input_data
        else:
            value = ctx.get_step_result(root)
        found = _dig(value, path or ".", where)
        return str(to_kept(found) if path else found)

    return _PLACE.sub(fill, template)
