"""Settings that are functions: whether they are given the context."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from mastra import RequestContext
from mastra.agents.context import AgentContext, resolve_dynamic

pytestmark = pytest.mark.anyio

CONTEXT = AgentContext(request_context=RequestContext({"user": "ann"}))


def of_context(any_name: Any) -> str:
    return any_name["user"]


def of_named_context(ctx: Any = None) -> str:
    return ctx["user"]


def of_said_context(where: AgentContext | None = None) -> str:
    return "" if where is None else where["user"]


def of_any(*given: Any) -> str:
    return given[0]["user"]


def of_name(name: str = "ann") -> str:
    return name


def of_keyword(*, name: str = "ann") -> str:
    return name


async def later(name: str, context: AgentContext | None = None) -> str:
    return f"{name}{context or ''}"


class Settings:
    def whole(self, context: AgentContext) -> str:
        return context["user"]

    def own(self, name: str = "ann") -> str:
        return name

    def __call__(self, context: AgentContext) -> str:
        return context["user"]


@pytest.mark.parametrize(
    "setting",
    [
        of_context,
        of_named_context,
        of_said_context,
        of_any,
        of_name,
        of_keyword,
        partial(of_name, name="ann"),
        partial(later, "ann"),
        Settings(),
        Settings().whole,
        Settings().own,
        lambda: "ann",
        lambda name="ann": name,
    ],
    ids=range(13),
)
async def test_a_setting_is_given_the_context_where_it_asks_for_it(setting: Any) -> None:
    found = await resolve_dynamic(setting, CONTEXT)
    assert found in ("ann", f"ann{CONTEXT}")


async def test_what_is_no_function_is_the_setting_itself() -> None:
    assert await resolve_dynamic("ann", CONTEXT) == "ann"
    assert await resolve_dynamic(Settings, CONTEXT) is Settings
