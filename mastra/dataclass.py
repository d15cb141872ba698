"""`dataclass`, for classes that many programs import and few make an object of.

The standard decorator compiles up to six methods for every class at import, which was two thirds
of what importing `mastra.workflows` cost. Here the other methods are shared, and `__init__` is
compiled when the first object is made. In all else it is the standard one: `fields`, `replace`
and `match` work as ever.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

__all__ = ["dataclass"]

T = TypeVar("T")


@dataclass_transform(field_specifiers=(dataclasses.field,))
def dataclass(
    *, frozen: bool = False, slots: bool = False, eq: bool = True
) -> Callable[[type[T]], type[T]]:
    """Return a decorator that makes a dataclass.

    Args:
        frozen: Whether the attributes of an object stay as they are.
        slots: Whether an object has these attributes and no others.
        eq: Whether two objects with equal fields are equal.
    """

    def decorate(cls: type[T]) -> type[T]:
        made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
        made.__init__ = _init_on_first_use(made, is_frozen=frozen)
        made.__repr__ = _repr
        if eq:
            made.__eq__ = _eq
            made.__hash__ = _hash if frozen else None
        if frozen:
            made.__setattr__ = _refuse_set
            made.__delattr__ = _refuse_delete
            if slots:
                made.__getstate__ = _values
                made.__setstate__ = _restore
        return made

    return decorate


def _init_on_first_use(cls: Any, *, is_frozen: bool) -> Callable[..., None]:
    def __init__(self: object, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes one
        cls.__init__ = _compile_init(cls, is_frozen=is_frozen)
        cls.__init__(self, *args, **kwargs)

    return __init__


def _compile_init(cls: type, *, is_frozen: bool) -> Any:
    names: dict[str, Any] = {"_set": object.__setattr__, "_left_out": object()}
    parameters, body = ["self"], ["pass"]
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        if field.default_factory is not dataclasses.MISSING:
            # `dict[str, int]()` takes five times as long as `dict()`.
            names[f"_new_{name}"] = getattr(field.default_factory, "__origin__", None) or (
                field.default_factory
            )
            parameters.append(f"{name}=_left_out")
            value = f"_new_{name}() if {name} is _left_out else {name}"
        elif field.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        body.append(f"_set(self, {name!r}, {value})" if is_frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    code = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body)
    exec(code, names)  # noqa: S102 - names of fields, as the standard decorator does
    init = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _values(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, values: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), values, strict=True):
        object.__setattr__(self, field.name, value)


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.compare)


def _eq(self: object, other: object) -> bool:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _compared(self) == _compared(other)


def _hash(self: object) -> int:
    return hash(_compared(self))


@reprlib.recursive_repr()
def _repr(self: Any) -> str:
    shown = [
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self)
        if field.repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_set(self: object, name: str, value: object) -> None:  # noqa: ARG001 - as it is called
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: object, name: str) -> None:  # noqa: ARG001 - as it is called
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
