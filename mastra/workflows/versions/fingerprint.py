"""Short texts that tell one type of data from another, the same in every process.

Two that are equal mean that a value which met one schema meets the other. Two that differ mean
only that this has to be tried: so nothing is compiled here, and what cannot be told apart from
outside (such as an object's address) may make them differ.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import typing
from typing import TYPE_CHECKING, Any, Final, cast

import typing_extensions

from mastra.late import LateModule
from mastra.schema import Schema

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = LateModule("pydantic")

__all__ = ["fingerprint"]

_LENGTH: Final = 10


def fingerprint(schema: Schema[Any] | None) -> str:
    """Return the fingerprint of a schema; empty where it takes anything."""
    if schema is None or schema.is_any:
        return ""
    kind = schema.type
    if any(kind is plain for plain in _PLAIN):
        return str(kind.__name__)
    known = _KNOWN.get(id(kind))
    if known is None or known[0] is not kind:
        described = _described(kind, ())
        known = (kind, hashlib.sha256(described.encode()).hexdigest()[:_LENGTH])
        if len(_KNOWN) > _KEPT:
            _KNOWN.clear()
        _KNOWN[id(kind)] = known
    return known[1]


_PLAIN: Final = (str, int, float, bool, dict, list, type(None))
_KEPT: Final = 1000
_KNOWN: Final[dict[int, tuple[Any, str]]] = {}
"""The latest fingerprints by the identity of their type: a type need not be hashable."""


def _described(kind: Any, within: tuple[Any, ...]) -> str:
    if any(kind is outer for outer in within):
        return f"...{within.index(kind)}"
    inner = (*within, kind)
    origin = typing.get_origin(kind)
    if origin is not None:
        parts = [_described(part, inner) for part in typing.get_args(kind)]
        return f"{getattr(origin, '__name__', origin)}[{', '.join(parts)}]"
    if not isinstance(kind, type):
        value = getattr(kind, "__value__", None)  # `type X = …`
        return repr(kind) if value is None else _described(value, inner)
    return _described_class(cast("type[Any]", kind), inner)


def _described_class(kind: type[Any], inner: tuple[Any, ...]) -> str:
    if issubclass(kind, pydantic.BaseModel):
        return _described_model(kind, inner)
    if issubclass(kind, enum.Enum):
        return f"enum{[member.value for member in kind]!r}"
    if dataclasses.is_dataclass(kind):
        fields = {
            field.name: field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(kind)
        }
        return f"fields{_described_hints(kind, inner)}{fields!r}"
    if typing_extensions.is_typeddict(kind):  # those of `typing`, too
        required = sorted(cast("Any", kind).__required_keys__)
        return f"dict{_described_hints(kind, inner)}{required!r}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _described_model(kind: type[pydantic.BaseModel], within: tuple[Any, ...]) -> str:
    fields = [
        f"{name}: {_described(info.annotation, within)} {info.is_required()} "
        f"{info.alias!r} {info.validation_alias!r} {info.metadata!r}"
        for name, info in kind.model_fields.items()
    ]
    config = sorted((name, repr(value)) for name, value in kind.model_config.items())
    return f"model{fields!r}{config!r}{_validators(kind)!r}"


def _validators(kind: type[pydantic.BaseModel]) -> list[tuple[str, str]]:
    """Return what a model's own validators do, as far as their code tells."""
    decorators = kind.__pydantic_decorators__
    found: list[tuple[str, str]] = []
    for group in (
        decorators.field_validators,
        decorators.model_validators,
        decorators.validators,
        decorators.root_validators,
    ):
        for name, decorator in group.items():
            function = inspect.unwrap(getattr(decorator.func, "__func__", decorator.func))
            code = getattr(function, "__code__", None)
            told = "" if code is None else f"{code.co_code.hex()}{code.co_names!r}"
            constants = () if code is None else [c for c in code.co_consts if _is_plain(c)]
            found.append((name, f"{told}{constants!r}"))
    return found


def _is_plain(constant: object) -> bool:
    return isinstance(constant, (str, int, float, bool, bytes))


def _described_hints(kind: Any, within: tuple[Any, ...]) -> str:
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # a name that is known only where it was written
        return repr(getattr(kind, "__annotations__", {}))
    return str({name: _described(hint, within) for name, hint in hints.items()})
