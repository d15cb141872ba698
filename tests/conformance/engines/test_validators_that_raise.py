"""A validator that raises what is no `ValueError` refuses the value, wherever it is asked."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, field_validator, model_validator

from mastra import (
    InputValidationError,
    ResumeValidationError,
    StepContext,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from tests.support.engines import Env

RATES = {"eur": 1}


class Price(BaseModel):
    currency: str

    @field_validator("currency")
    @classmethod
    def known(cls, value: str) -> str:
        assert RATES[value]
        return value


class Whole(BaseModel):
    parts: list[int]

    @model_validator(mode="after")
    def first(self) -> Whole:
        assert self.parts[0]
        return self


class OddError(Exception):
    """An error of the author's own."""

    def __str__(self) -> str:
        return "postgresql://ann:swordfish@db"


def odd(value: int) -> int:
    raise OddError if value else SystemExit(2)


REFUSED = {
    "a field": (Price, {"currency": "usd"}, ("currency", "Price.known", "KeyError")),
    "a model": (Whole, {"parts": []}, ("Whole.first", "IndexError")),
    "a type": (Annotated[int, AfterValidator(odd)], 1, ("odd", "OddError")),
    "an exit": (Annotated[int, AfterValidator(odd)], 0, ("odd", "SystemExit")),
    "nested": (dict[str, list[Price]], {"a": [{"currency": "usd"}]}, ("Price.known", "KeyError")),
}


def flow(*steps: Any, takes: Any = None, **options: Any) -> Any:
    made: Any = create_workflow(id="w", input_schema=takes, output_schema=None, **options)
    for one in steps:
        made = made.then(one)
    return made.commit()


async def ignore(value: Any) -> None:
    """Take anything."""


@pytest.mark.parametrize("name", REFUSED)
async def test_an_input_is_refused(env: Env, name: str) -> None:
    type_, value, told = REFUSED[name]
    run = await env.workflow(flow(create_step(execute=ignore), takes=type_)).create_run()
    with pytest.raises(InputValidationError) as caught:
        await run.start(value)
    assert "Input of workflow 'w'" in caught.value.message
    for text in told:
        assert text in caught.value.message
    assert "swordfish" not in caught.value.message
    if name == "a field":
        assert caught.value.issues[0]["path"] == ["currency"]


async def test_a_request_context_is_refused(env: Env) -> None:
    workflow = flow(create_step(execute=ignore), takes=Any, request_context_schema=Price)
    run = await env.workflow(workflow).create_run()
    with pytest.raises(InputValidationError, match=r"Request context of workflow 'w'.*KeyError"):
        await run.start(None, request_context={"currency": "usd"})


async def test_the_step_fails_whose_input_or_output_it_is(env: Env) -> None:
    async def give(value: Any) -> dict[str, str]:
        return {"currency": "usd"}

    taking = create_step(id="take", execute=ignore, input_schema=Price)
    for steps, name in (
        ((create_step(execute=give), taking), "take"),
        ((create_step(id="give", execute=give, output_schema=Price),), "give"),
    ):
        result = await env.start(flow(*steps, takes=Any), None)
        assert isinstance(result, WorkflowFailed)
        assert repr(name) in result.error.message
        assert "KeyError" in result.error.message


async def test_resume_data_is_refused_and_the_run_still_waits(env: Env) -> None:
    async def ask(ctx: StepContext[Any]) -> Any:
        return await ctx.suspend() if ctx.resume_data is None else ctx.resume_data.currency

    step = create_step(id="ask", execute=ask, input_schema=Any, resume_schema=Price)
    run = await env.workflow(flow(step, takes=Any)).create_run()
    await run.start(None)
    with pytest.raises(ResumeValidationError, match=r"'ask'.*KeyError"):
        await run.resume({"currency": "usd"})
    assert (await run.resume({"currency": "eur"})).unwrap() == "eur"
