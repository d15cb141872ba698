"""What evaluations take, so that what is of another kind is one error where it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from mastra.errors import ConfigError, InputValidationError
from mastra.given import LIST, MAPPING, Form, either, having, shown

__all__ = ["check_item", "several"]

_CONTEXT: Final = either(MAPPING, having("a RequestContext", "to_dict"))

_ITEM_FORMS: Final[Mapping[str, Form]] = {
    "expected_trajectory": MAPPING,
    "metadata": MAPPING,
    "request_context": _CONTEXT,
    "inputs": LIST,
    "turns": LIST,
}


def check_item(fields: Mapping[str, Any], place: int) -> None:
    """Check the fields of an item of a dataset.

    Raises:
        InputValidationError: One of them is of another kind.
    """
    for name, form in _ITEM_FORMS.items():
        value = fields.get(name)
        if value is not None and not form.holds(value):
            raise InputValidationError(
                f"Item {place}: {name} is {shown(value)}. It takes {form.words}."
            )


def several(given: Any, what: str) -> list[Any]:
    """Return what is given as a list; `None` is none.

    Raises:
        ConfigError: It is one thing, and not several.
    """
    if given is None:
        return []
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConfigError(f"{what} is {shown(given)}. It takes a list.")
    return [*cast("Iterable[Any]", given)]
