"""What a workflow may not be: refused when it is built or committed, before anything runs."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest

from mastra import (
    Agent,
    ConfigError,
    InMemoryStorage,
    Mastra,
    RetryConfig,
    StepContext,
    StructuredOutput,
    WorkflowDefinitionError,
    clone_step,
    clone_workflow,
    create_step,
    create_tool,
    create_workflow,
    step,
)
from tests.support.flows import Number, adding, chain


def start(**options: Any) -> Any:
    return create_workflow(
        **{"id": "w", "input_schema": Number, "output_schema": Number, **options}
    )


def always(ctx: StepContext[Any]) -> bool:
    return True


# -- committing --------------------------------------------------------------------------------


async def test_an_uncommitted_workflow_cannot_run() -> None:
    with pytest.raises(WorkflowDefinitionError, match="'w' is not committed") as raised:
        await start().then(adding()).create_run()
    assert raised.value.code == "WORKFLOW_NOT_COMMITTED"


def test_an_uncommitted_workflow_cannot_be_registered() -> None:
    with pytest.raises(WorkflowDefinitionError) as raised:
        Mastra(workflows={"w": start().then(adding())}, storage=InMemoryStorage())
    assert raised.value.code == "WORKFLOW_NOT_COMMITTED"


def test_an_uncommitted_workflow_cannot_be_a_step() -> None:
    inner = start(id="inner").then(adding())
    with pytest.raises(WorkflowDefinitionError, match="'inner'") as raised:
        start().then(inner)
    assert raised.value.code == "WORKFLOW_NOT_COMMITTED"


def test_a_workflow_without_steps_cannot_be_committed() -> None:
    with pytest.raises(WorkflowDefinitionError, match="'w' has no steps") as raised:
        start().commit()
    assert raised.value.code == "WORKFLOW_EMPTY"


@pytest.mark.parametrize(
    "add",
    [
        lambda w: w.then(adding("b")),
        lambda w: w.map(lambda ctx: 1),
        lambda w: w.parallel([adding("b")]),
        lambda w: w.branch([(always, adding("b"))]),
        lambda w: w.dountil(adding("b"), always),
        lambda w: w.dowhile(adding("b"), always),
        lambda w: w.foreach(adding("b")),
        lambda w: w.sleep(1),
    ],
    ids=["then", "map", "parallel", "branch", "dountil", "dowhile", "foreach", "sleep"],
)
def test_a_committed_workflow_cannot_be_changed(add: Any) -> None:
    workflow = start().then(adding("a")).commit()
    with pytest.raises(WorkflowDefinitionError, match="'w' is committed") as raised:
        add(workflow)
    assert raised.value.code == "WORKFLOW_COMMITTED"


def test_committing_twice_is_the_same_as_once() -> None:
    workflow = start().then(adding("a")).commit()
    spec = workflow.spec
    assert workflow.commit().spec is spec


def test_the_chain_and_single_lines_build_the_same() -> None:
    workflow = start()
    assert workflow.then(adding("a")) is workflow
    workflow.then(adding("b"))
    workflow.commit()
    assert [node.id for node in workflow.spec.nodes] == ["a", "b"]


def test_what_is_built_on_a_committed_workflow_leaves_it_alone() -> None:
    inner = chain("inner", adding("x"))
    before = inner.spec
    start().then(inner).commit()
    assert inner.spec is before


# -- ids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["a.b", "a/b", "a[0]", "", "input"])
def test_an_id_that_could_be_a_path_is_refused(id: str) -> None:
    for make in (
        lambda: clone_step(adding("a"), id=id),
        lambda: start(id=id),
        lambda: clone_workflow(chain("w", adding("a")), id=id),
    ):
        with pytest.raises(WorkflowDefinitionError) as raised:
            make()
        assert raised.value.code == "WORKFLOW_ID_INVALID"
        assert repr(id) in raised.value.message


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(WorkflowDefinitionError, match="7"):
        start(id=7)


@pytest.mark.parametrize("kind", ["parallel", "branch"])
def test_the_same_id_twice_in_one_block_is_refused(kind: str) -> None:
    steps = [adding("a"), adding("b"), adding("a")]
    workflow = start()
    if kind == "parallel":
        workflow.parallel(steps)
    else:
        workflow.branch([(always, step) for step in steps])
    with pytest.raises(WorkflowDefinitionError, match="'a' twice") as raised:
        workflow.commit()
    assert raised.value.code == "WORKFLOW_STEP_DUPLICATE"


def test_the_same_step_in_two_places_is_fine() -> None:
    same = adding("a")
    start().then(same).parallel([same, adding("b")]).map(lambda ctx: 1).then(same).commit()


def test_a_step_is_named_after_its_function() -> None:
    @step
    async def fetch_weather(number: Number) -> Number:
        """Fetch the weather.

        And more.
        """
        return number

    assert fetch_weather.id == "fetch_weather"
    assert fetch_weather.description == "Fetch the weather."


# -- blocks and settings -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parallel", "branch"])
def test_an_empty_block_is_refused(kind: str) -> None:
    workflow = getattr(start().then(adding("a")), kind)([])
    with pytest.raises(WorkflowDefinitionError, match=f"{kind} at position 1") as raised:
        workflow.commit()
    assert raised.value.code == "WORKFLOW_BLOCK_EMPTY"


@pytest.mark.parametrize("arm", [(always,), (adding("a"), always), (True, adding("a"))])
def test_an_arm_is_a_pair_of_condition_and_step(arm: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="pair of a condition and a step"):
        start().branch([arm])


@pytest.mark.parametrize("kind", ["dowhile", "dountil"])
def test_a_loop_needs_a_condition(kind: str) -> None:
    with pytest.raises(WorkflowDefinitionError, match=f"{kind} in workflow 'w'"):
        getattr(start(), kind)(adding("a"), True)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_foreach_runs_at_least_one_item_at_a_time(concurrency: int) -> None:
    with pytest.raises(WorkflowDefinitionError, match="concurrency must be 1 or more"):
        start().foreach(adding("a"), concurrency=concurrency)


@pytest.mark.parametrize("duration", [-1, "1s", None, True, float("nan"), timedelta(seconds=-1)])
def test_a_sleep_takes_seconds_or_a_timedelta(duration: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="Sleep in workflow 'w'"):
        start().sleep(duration)


@pytest.mark.parametrize("moment", [1, "tomorrow", None])
def test_sleep_until_takes_a_datetime(moment: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="sleep_until in workflow 'w'"):
        start().sleep_until(moment)


@pytest.mark.parametrize("what", [1, "text", object(), None])
def test_what_is_no_step_is_refused(what: Any) -> None:
    with pytest.raises(WorkflowDefinitionError):
        start().then(what)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": -1},
        {"delay": -1},
        {"delay": "soon"},
        {"backoff": 0.5},
        {"backoff": "quadratic"},
        {"max_delay": -1},
        {"delay": math.inf},
        {"delay": math.inf, "max_delay": math.inf},
    ],
)
def test_a_retry_config_must_make_sense(options: dict[str, Any]) -> None:
    with pytest.raises(WorkflowDefinitionError, match="RetryConfig"):
        RetryConfig(**options)


def test_a_backoff_multiplies_the_delay_up_to_its_limit() -> None:
    config = RetryConfig(attempts=5, delay=timedelta(seconds=1), backoff="exponential", max_delay=5)
    assert [config.delay_before(retry) for retry in (1, 2, 3, 4)] == [1, 2, 4, 5]


def test_a_retry_config_may_be_a_dict_by_either_languages_names() -> None:
    def retries(options: Any) -> RetryConfig:
        return create_workflow(
            id="w", input_schema=Number, output_schema=Number, retry_config=options
        )._spec.retry

    assert retries({"attempts": 2, "maxDelay": 3}) == RetryConfig(attempts=2, max_delay=3)
    assert retries({}) == retries(None) == RetryConfig()
    for wrong, hint in (({"attempt": 2}, "'attempts'"), ({1: 2}, "It takes attempts")):
        with pytest.raises(WorkflowDefinitionError, match=f"RetryConfig has no .*{hint}"):
            retries(wrong)


@pytest.mark.parametrize("given", [5, None, lambda ctx: ctx])
def test_what_is_no_step_or_workflow_is_not_cloned(given: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="clone_step takes a step, not"):
        clone_step(given, id="a")
    with pytest.raises(WorkflowDefinitionError, match="clone_workflow takes a workflow, not"):
        clone_workflow(given, id="a")


def test_an_endless_delay_is_as_long_as_the_longest() -> None:
    config = RetryConfig(attempts=1, delay=math.inf, max_delay=60)
    assert config.delay_before(1) == 60


def test_no_delay_stays_none_however_it_is_multiplied() -> None:
    config = RetryConfig(attempts=3, backoff=math.inf)
    assert [config.delay_before(retry) for retry in (1, 2, 3)] == [0, 0, 0]
    often = RetryConfig(attempts=5000, delay=1, backoff=2.0, max_delay=60)
    assert often.delay_before(5000) == 60


YEAR_S = 365 * 86_400


@pytest.mark.parametrize("backoff", [2, 2.0, "exponential", math.inf, 10**300])
def test_a_delay_without_a_limit_grows_to_a_year_at_most(backoff: Any) -> None:
    """It grew until it was endless: no other try would ever have followed."""
    config = RetryConfig(attempts=5000, delay=1, backoff=backoff)
    assert config.delay_before(1) == 1
    assert config.delay_before(5000) == YEAR_S
    longer = RetryConfig(attempts=9, delay=timedelta(days=400), backoff=backoff)
    assert {longer.delay_before(retry) for retry in (1, 2, 9)} == {400 * 86_400}
    assert (
        RetryConfig(delay=1, backoff=backoff, max_delay=2 * YEAR_S).delay_before(99) == 2 * YEAR_S
    )


@pytest.mark.parametrize("retries", [-1, 1.5, "2"])
def test_retries_are_a_number_of_extra_tries(retries: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="retries"):
        adding("a", retries=retries)


# -- steps -------------------------------------------------------------------------------------


def test_a_step_needs_a_function() -> None:
    with pytest.raises(WorkflowDefinitionError, match="'a' has no function"):
        create_step(id="a")


def test_an_option_that_is_not_there_is_named() -> None:
    with pytest.raises(WorkflowDefinitionError, match="'retrys'"):
        adding("a", retrys=1)


def test_a_function_with_more_than_context_and_input_is_refused() -> None:
    async def three(a: int, b: int, ctx: StepContext[int]) -> int:
        return a

    with pytest.raises(WorkflowDefinitionError, match=r"\(a, b, ctx\)"):
        create_step(execute=three)


def test_parameters_with_defaults_and_rest_parameters_are_left_alone() -> None:
    async def many(number: Number, unit: str = "C", *rest: int, **more: int) -> Number:
        return number

    assert create_step(execute=many).input_schema.type is Number


def test_annotations_that_cannot_be_read_are_named() -> None:
    async def mystery(number: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    with pytest.raises(WorkflowDefinitionError, match="Nowhere"):
        create_step(execute=mystery)


def test_schemas_that_are_given_go_before_annotations() -> None:
    async def function(number: Number) -> Number:
        return number

    made = create_step(execute=function, input_schema=int, output_schema=str)
    assert (made.input_schema.type, made.output_schema.type) == (int, str)


def test_a_step_can_be_called_as_the_function_it_is_made_of() -> None:
    @step
    def double(number: Number) -> Number:
        return Number(value=number.value * 2)

    assert double(Number(value=2)) == Number(value=4)


def test_the_input_type_may_stand_in_the_context() -> None:
    async def function(ctx: StepContext[Number]) -> Number:
        return ctx.input_data

    assert create_step(execute=function).input_schema.type is Number


# -- maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"x": {"step": "a", "value": 1}},
        {"x": {}},
        {"x": {"path": "a"}},
        {"x": 7},
        7,
        [("x", {"value": 1})],
    ],
)
def test_a_map_names_exactly_one_source_for_each_key(source: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="Map 'turn'"):
        start().map(source, id="turn")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"step": "a", "path": 5}, "path is 5"),
        ({"step": "a", "pth": "total"}, "no 'pth'.*Did you mean 'path'"),
        ({"step": []}, "a step, its id, or a list"),
        ({"step": 5}, "a step, its id, or a list"),
        ({"step": None}, "a step, its id, or a list"),
        ({"template": 5}, "template is 5"),
        ({"request_context_path": None}, "takes text, not None"),
        ({"requestContextPath": ["user"]}, "takes text"),
        ({"fn": "ctx.input_data"}, "It takes a function"),
        ({"value": "many", "schema": int}, "not of its schema"),
        ({"value": 1, "schema": 5}, "schema is 5"),
    ],
)
def test_what_a_source_of_a_map_names_is_looked_at_where_it_is_written(
    source: Any, said: str
) -> None:
    with pytest.raises(WorkflowDefinitionError, match=f"Map 'turn', key 'x'.*{said}"):
        start().map({"x": source}, id="turn")


class Opaque:
    """A class of which nobody knows what is in it."""


class Fields(typing.Protocol):
    value: int


class Own:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(int)


OPAQUE: dict[str, Any] = {
    "a class": Opaque,
    "in a list": list[Opaque],
    "in a union": dict[str, int | Opaque],
    "a protocol": Fields,
}


@pytest.mark.parametrize("kind", OPAQUE)
def test_a_type_that_cannot_be_validated_is_refused_where_it_is_given(kind: str) -> None:
    """It was found in the run, by the first value."""
    given = OPAQUE[kind]

    async def takes(value: Any) -> int:
        return 1

    async def gives(value: int) -> Any:
        return value

    takes.__annotations__["value"] = gives.__annotations__["return"] = given

    made: list[Callable[[], Any]] = [
        lambda: wrapped(create_step(execute=takes)),
        lambda: create_step(execute=gives),
        lambda: wrapped(step(takes)),
        lambda: clone_workflow(wrapped(create_step(execute=takes)), "again"),
        lambda: create_step(id="s", input_schema=given, output_schema=int, execute=same),
        lambda: create_step(id="s", execute=same, resume_schema=given),
        lambda: create_workflow(id="w", input_schema=given, output_schema=int),
        lambda: create_workflow(id="w", input_schema=int, output_schema=given),
        lambda: create_tool("t", "d", input_schema=given, execute=same),
        lambda: create_tool("t", "d", input_schema=int, output_schema=given, execute=same),
        lambda: Agent(id="a", model="x/y", request_context_schema=given),
        lambda: StructuredOutput(given),
    ]
    for make in made:
        with pytest.raises(ConfigError, match="pydantic cannot validate"):
            make()


async def same(value: int) -> int:
    return value


def wrapped(taking: Any, **options: Any) -> Any:
    made = create_workflow(id="w", input_schema=Any, output_schema=Any, **options)
    return made.parallel([taking]).commit()


async def test_what_is_only_annotated_is_any_value_where_inputs_are_not_checked() -> None:
    async def name(value: list[Opaque], ctx: Any) -> str:
        if ctx.resume_data is None:
            await ctx.suspend(None)
        return f"{value}"

    @step
    async def described(value: Opaque) -> str:
        return type(value).__name__

    async def first(ctx: StepContext[Opaque]) -> Any:
        return ctx.input_data

    for taking in (described, clone_step(described, "other"), create_step(execute=first)):
        run = await wrapped(taking, validate_inputs=False).create_run()
        assert (await run.start(input_data={"a": 1})).status == "success"
        with pytest.raises(ConfigError, match="pydantic cannot validate 'Opaque'"):
            wrapped(taking)
    workflow = wrapped(create_step(execute=name), validate_inputs=False)
    run = await workflow.create_run()
    assert (await run.start(input_data=[1])).status == "suspended"
    result = await run.resume("go")
    assert result.unwrap() == {"name": "[1]"}
    info = await workflow.get_run(run.run_id)
    assert info.to_wire()["steps"]["name"]["payload"] == [1]
    # What is given as a schema is meant to be checked.
    with pytest.raises(ConfigError, match="pydantic cannot validate"):
        create_step(id="s", input_schema=Opaque, execute=described.execute)


def test_a_type_of_which_that_is_not_known_is_taken() -> None:
    kinds: list[Any] = [
        *(Own, list[Own], type[Opaque], Callable[[Opaque], Opaque]),
        *(Annotated[Opaque, pydantic.InstanceOf()], typing.NamedTuple("Pair", [("a", int)])),
        *(Enum("Size", ["s", "m"]), Path, Any, None, Number),
    ]
    for kind in kinds:
        create_step(id="s", input_schema=kind, output_schema=kind, execute=same)

    async def duck(value: Fields) -> int:
        return value.value

    assert create_step(execute=duck, input_schema=Number).input_schema.type is Number
