"""The text of a condition, as Studio and `mastra graph` show it."""

from __future__ import annotations

from functools import partial
from typing import Any

from mastra.workflows.describe import source_of

PAIRS: list[Any] = [
    (lambda ctx: ctx.input_data.chance > 50, "wet"), (lambda ctx: ctx.input_data.chance <= 50, "dry"),
]  # fmt: skip
NESTED: Any = lambda ctx: (lambda value: value > 1)(ctx.input_data)  # noqa: E731, PLC3002
LONG: Any = [
    lambda ctx: ctx.input_data.first
    and ctx.input_data.second,
]  # fmt: skip


CONSTANTS: Any = [
    (lambda ctx: True, 1), (lambda _: False, 2), (lambda ctx: 1, 3), (lambda ctx, other=1: None, 4),
]  # fmt: skip


def is_wet(ctx: Any) -> bool:
    return bool(ctx.input_data > 50)


def test_a_lambda_is_shown_without_what_stands_around_it() -> None:
    assert source_of(PAIRS[0][0]) == "lambda ctx: ctx.input_data.chance > 50"
    assert source_of(PAIRS[1][0]) == "lambda ctx: ctx.input_data.chance <= 50"


def test_a_lambda_of_several_lines_is_whole() -> None:
    assert source_of(LONG[0]).split() == (
        ["lambda", "ctx:", "ctx.input_data.first", "and", "ctx.input_data.second"]
    )


def test_a_lambda_that_holds_another_is_the_outer_one() -> None:
    shown = source_of(NESTED)
    assert shown == "lambda ctx: (lambda value: value > 1)(ctx.input_data)"


def test_a_lambda_that_gives_a_constant_is_shown_alone() -> None:
    assert [source_of(function) for function, _ in CONSTANTS] == [
        "lambda ctx: True",
        "lambda _: False",
        "lambda ctx: 1",
        "lambda ctx, other=1: None",
    ]


def test_a_function_is_shown_whole() -> None:
    assert source_of(is_wet).startswith("def is_wet(ctx: Any) -> bool:")


def test_what_has_no_source_has_a_name() -> None:
    assert source_of(len) == "len"
    assert "partial" in source_of(partial(is_wet, 1))
    made: Any = eval("lambda ctx: ctx")
    assert source_of(made) == "<lambda>"
