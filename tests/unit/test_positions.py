"""What may be given by position as well as by name, and what of it a type can be asked for."""

import asyncio

import pytest
from pydantic import BaseModel

import mastra
from mastra import (
    Fallback,
    InMemoryStorage,
    ModelConfig,
    StepContext,
    Workflow,
    WorkflowDefinitionError,
    clone_step,
    clone_workflow,
    create_step,
    create_workflow,
    step,
)
from mastra.models import Model
from mastra.storage import Storage
from mastra.testing import ScriptedModel


class Count(BaseModel):
    value: int


@step
def increment(count: Count) -> Count:
    return Count(value=count.value + 1)


def seen(ctx: StepContext[Count]) -> Count:
    return ctx.input_data


def counting() -> Workflow[Count, Count, Count]:
    return create_workflow("count", Count, Count).then(increment).commit()


async def test_a_workflow_takes_its_id_and_schemas_by_position() -> None:
    run = await counting().create_run("mine", "somebody")
    assert (run.run_id, run.resource_id) == ("mine", "somebody")
    assert (await run.start(Count(value=1))).unwrap() == Count(value=2)


async def test_a_step_takes_its_id_schemas_and_function_by_position() -> None:
    made = create_step("see", Count, Count, seen)
    workflow = create_workflow("see", Count, Count).then(made).commit()
    assert made.id == "see"
    assert (await (await workflow.create_run()).start(Count(value=1))).unwrap() == Count(value=1)


def test_a_step_takes_its_id_alone_by_position() -> None:
    made = create_step("see", execute=seen, description="Sees.")
    assert (made.id, made.description) == ("see", "Sees.")


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (("see", Count, Count, seen, "Sees."), {}, "the rest by name"),
        (("see", Count), {"input_schema": Count, "execute": seen}, "input_schema twice"),
        (("see",), {"id": "other", "execute": seen}, "id twice"),
        ((seen, Count), {}, "nothing"),
        (("see",), {}, "'see' has no function"),
    ],
)
def test_what_a_step_cannot_take_by_position_is_told(
    given: tuple[object, ...], options: dict[str, object], told: str
) -> None:
    make: object = create_step
    assert callable(make)
    with pytest.raises(WorkflowDefinitionError, match=told):
        make(*given, **options)


async def test_builders_take_their_options_by_position() -> None:
    workflow = (
        create_workflow("many", list[Count], dict[str, list[Count]])
        .foreach(increment, 2)
        .branch([(always, see_all), (always, see_all_again)], True)
        .commit()
    )
    result = await (await workflow.create_run()).start([Count(value=1), Count(value=2)])
    assert result.unwrap() == {"see_all": [Count(value=2), Count(value=3)]}


def always(ctx: StepContext[list[Count]]) -> bool:
    return bool(ctx.input_data)


@step
def see_all(counts: list[Count]) -> list[Count]:
    return counts


see_all_again = clone_step(see_all, "again")


def test_clones_take_their_id_by_position() -> None:
    assert clone_step(increment, "more").id == "more"
    assert clone_workflow(counting(), "more").id == "more"


async def test_a_stream_of_a_run_may_be_awaited_and_gives_itself() -> None:
    stream = (await counting().create_run()).stream(Count(value=1))
    assert await stream is stream
    assert [event.type async for event in stream][-1] == "workflow-finish"
    assert (await stream.result()).unwrap() == Count(value=2)


async def test_awaiting_a_stream_raises_what_refuses_the_run() -> None:
    run = await counting().create_run()
    with pytest.raises(mastra.InputValidationError):
        await run.stream({"value": "much"})


async def test_several_may_await_a_stream_and_the_run_begins_once() -> None:
    stream = (await counting().create_run()).stream(Count(value=1))

    async def begun() -> object:
        return await stream

    assert await asyncio.gather(begun(), begun()) == [stream, stream]
    assert [event.seq async for event in stream] == list(range(4))


def test_a_model_and_a_storage_are_known_by_their_protocols() -> None:
    assert isinstance(ScriptedModel("hello"), Model)
    assert isinstance(InMemoryStorage(), Storage)
    assert not isinstance(object(), Model)


def test_what_shows_a_model_does_not_show_its_secrets() -> None:
    headers = {"authorization": "Bearer hidden"}
    config = ModelConfig("openai/gpt-4o", api_key="hidden", headers=headers)
    assert "hidden" not in repr([config, Fallback(config, headers=headers)])
    assert "openai/gpt-4o" in repr(config)
