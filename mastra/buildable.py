"""Schemas as definitions give them: what pydantic cannot validate is found out without loading it.

To compile a type takes time, so that is done on its first use. Most that cannot be compiled are told from
outside: classes of somebody's own that are neither models, dataclasses nor anything else with fields.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal, NoReturn, get_args, get_origin

from mastra.errors import ConfigError
from mastra.schema import ANY, Schema, schema_of

__all__ = ["Unchecked", "given_schema", "optional_schema", "taken_schema", "unbuildable"]

_NOTHING_ADDED: Final = ("object", "Generic", "Protocol", "ABC")
"""Bases of Python's own, and of typing_extensions, that say nothing of fields."""

_NOT_LOOKED_INTO: Final = (Annotated, Literal, type, Callable)
"""What is added may validate it; values are no types; classes and functions are taken as they are."""

_HOOKS: Final = (
    "__get_pydantic_core_schema__",
    "__get_validators__",
    "__pydantic_core_schema__",
    "__prepare_pydantic_annotations__",
    "__dataclass_fields__",
)


def unbuildable(kind: Any) -> type | None:
    """Return the class in a type that pydantic cannot validate; `None` where none is known."""
    return next(filter(_is_opaque, _classes(kind)), None)


def _classes(kind: Any) -> Iterator[type]:
    origin = get_origin(kind)
    if origin in _NOT_LOOKED_INTO:
        return
    if isinstance(kind if origin is None else origin, type):
        yield kind if origin is None else origin
    for part in get_args(kind):
        if isinstance(part, type) or get_origin(part) is not None:
            yield from _classes(part)


def _is_opaque(kind: type) -> bool:
    if type(kind).__name__ == "_TypedDictMeta":
        return type(kind).__module__ == "typing" and sys.version_info < (3, 12)
    if any(hasattr(kind, hook) for hook in _HOOKS):
        return False
    bases = [base for base in kind.__mro__ if _is_standard(base)]
    # A class of Python's own, or below one, such as an enum or a path, may well be known.
    return kind not in bases and all(base.__name__ in _NOTHING_ADDED for base in bases)


def _is_standard(kind: type) -> bool:
    package = kind.__module__.partition(".")[0]
    return package == "typing_extensions" or package in sys.stdlib_module_names


def given_schema(type_: Any, what: str) -> Schema[Any]:
    """Return the schema that a definition gives, where it can be seen that it will compile.

    Args:
        type_: As of `schema_of`.
        what: What it is for, such as "Input of step 'price'".

    Raises:
        ConfigError: pydantic cannot validate a class in it.
    """
    found = schema_of(type_)
    if found is ANY:
        return found
    opaque = unbuildable(found.type)
    if opaque is not None:
        raise _refusal(found, opaque, what)
    return found


class Unchecked(Schema[Any]):
    """Of what is annotated and pydantic cannot validate: anything, where nothing is checked."""

    __slots__ = ("_refusal",)

    def __init__(self, refusal: ConfigError) -> None:
        super().__init__(Any)
        self._refusal = refusal

    def refuse(self) -> NoReturn:
        """Refuse it, where it would be checked.

        Raises:
            ConfigError: Always.
        """
        raise self._refusal


def taken_schema(annotated: Schema[Any], given: Any, what: str) -> Schema[Any]:
    """Return the schema of an input: the one that was given, or else that of the annotation.

    An annotation is refused only where it is to be checked.

    Raises:
        ConfigError: pydantic cannot validate a class in what was given.
    """
    if given is not None:
        return given_schema(given, what)
    opaque = None if annotated is ANY else unbuildable(annotated.type)
    return annotated if opaque is None else Unchecked(_refusal(annotated, opaque, what))


def _refusal(found: Schema[Any], opaque: type, what: str) -> ConfigError:
    told = found.name if get_origin(found.type) is None else str(found.type)
    return ConfigError(
        f"{what} is {told}, and pydantic cannot validate {opaque.__qualname__!r}. Make that a "
        "model, a dataclass or a TypedDict (before Python 3.12 that of typing_extensions), or give "
        "it `__get_pydantic_core_schema__`."
    )


def optional_schema(type_: Any, what: str) -> Schema[Any] | None:
    """Return the schema that a definition gives, `None` where it gives none."""
    return None if type_ is None else given_schema(type_, what)
