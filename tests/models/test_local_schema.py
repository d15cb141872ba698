"""What the embedded model's server is told of a schema."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from mastra.models.local_schema import held_form


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (r"^[A-Z]{3}$", r"^[A-Z]{3}$"),
        (r"^\d{3}-\d{4}$", r"^[0-9]{3}-[0-9]{4}$"),
        (r"^[\w.-]+@\w+\.com$", r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_]+\.com$"),
        (r"^(?:cat|dog)s?$", r"^(?:cat|dog)s?$"),
        (r"^[\d\]]+$", r"^[0-9\]]+$"),
        (r"^(a|b)\s\$\d+$", r"^(a|b)[ ]\$[0-9]+$"),
        (r"[A-Z]{3}", None),  # somewhere in a string
        (r"^a\$", None),  # not at its end
        (r"^.*x$", None),  # any character: also one that ends the string
        (r"^[^a]+$", None),
        (r"^(?=a)b$", None),
        (r"^a\b$", None),
        (r"^(a$", None),
        (r"^a\\$", None),
        (r'^"$', None),
        (7, None),
    ],
)
def test_a_pattern_is_held_or_left_out(given: Any, held: str | None) -> None:
    found = held_form({"type": "string", "pattern": given, "maxLength": 4})
    assert found == {"type": "string", "maxLength": 4, **({"pattern": held} if held else {})}
    if held is not None:
        assert re.compile(held)


def test_fields_and_values_called_pattern_are_not_keywords() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": r"^\d$"},
            "properties": {"anyOf": [{"type": "array", "items": {"pattern": "x"}}]},
        },
        "$defs": {"pattern": {"enum": [{"pattern": r"\d"}], "default": {"pattern": r"\d"}}},
    }
    before = copy.deepcopy(schema)
    assert held_form(schema) == {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^[0-9]$"},
            "properties": {"anyOf": [{"type": "array", "items": {}}]},
        },
        "$defs": {"pattern": {"enum": [{"pattern": r"\d"}], "default": {"pattern": r"\d"}}},
    }
    assert schema == before
