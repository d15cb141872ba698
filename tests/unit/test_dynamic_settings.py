"""Settings that are functions: whether they are given the context."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest

from mastra import Agent, ConfigError, RequestContext
from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.errors import InputValidationError
from mastra.evals import create_scorer, run_evals
from mastra.processors import Processor
from mastra.testing import ScriptedModel

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


class OfOutput(Processor):
    def process_output_result(self, ctx: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("setting", "given", "told"),
    [
        ("tools", 5, "tools is 5. It takes a dict or a list of tools"),
        ("agents", [], r"agents is \[\]. It takes a dict"),
        ("workflows", "w", "workflows is 'w'. It takes a dict"),
        ("default_options", 5, "default_options is 5. It takes a dict"),
        ("input_processors", 5, "input_processors is 5. It takes a list"),
        ("output_processors", OfOutput(), "output_processors is an object of class OfOutput"),
        ("input_processors", [OfOutput], "OfOutput in input_processors is a class"),
        ("input_processors", [OfOutput()], "would never be called: .* for output_processors"),
    ],
)
async def test_what_a_setting_gives_that_cannot_be_meant_is_told(
    setting: str, given: Any, told: str
) -> None:
    settings: dict[str, Any] = {setting: lambda: given}
    agent = Agent(id="a", model=ScriptedModel("x"), **settings)
    with pytest.raises(ConfigError, match=told):
        await agent.generate("hi")


@pytest.mark.parametrize(
    "setting", ["tools", "agents", "default_options", "input_processors", "memory"]
)
async def test_a_setting_may_give_nothing(setting: str) -> None:
    settings: dict[str, Any] = {setting: lambda: None}
    agent = Agent(id="a", model=ScriptedModel("x"), **settings)
    assert (await agent.generate("hi")).text == "x"


async def test_a_processor_in_both_lists_need_not_be_of_both_sides() -> None:
    both = [OfOutput()]
    agent = Agent(id="a", model=ScriptedModel("x"), input_processors=both, output_processors=both)
    assert (await agent.generate("hi")).text == "x"


@pytest.mark.parametrize("given", ["", [""], {"role": "user", "content": ""}])
async def test_a_message_without_anything_is_none(given: Any) -> None:
    with pytest.raises(InputValidationError, match="without a message"):
        await Agent(id="a", model=ScriptedModel("x")).generate(given)


async def test_a_refusal_of_openais_form_is_what_was_said() -> None:
    model = ScriptedModel("x")
    said = {"role": "assistant", "content": None, "refusal": "No."}
    nothing = {"role": "assistant", "content": None}
    hi = {"role": "user", "content": "hi"}
    await Agent(id="a", model=model).generate([hi, said, hi, nothing, hi])
    told = [(message.role, message.text) for message in model.requests[0].messages]
    assert ("assistant", "No.") in told
    assert [role for role, _ in told].count("assistant") == 1


async def test_what_is_evaluated_is_an_object() -> None:
    scorer = create_scorer(id="s", description="d").generate_score(lambda _: 1)
    with pytest.raises(ConfigError, match="the class Agent: make an object"):
        await run_evals(data=[{"input": "q"}], target=cast("Any", Agent), scorers=[scorer])
