"""Runs of which nobody is told, beside the same ones where each step tells of itself."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import gc
import logging
import pickle
import random
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, Field, field_serializer, field_validator

from mastra import (
    InMemoryStorage,
    InProcessEngine,
    Mastra,
    RequestContext,
    StepContext,
    create_step,
    create_workflow,
)
from mastra.errors import RunStateError
from mastra.storage.base import RunHead
from mastra.storage.in_process import InMemoryWorkflowStore
from mastra.testing import FakeClock, fake_ids
from mastra.workflows.engines import inprocess_ops
from mastra.workflows.spec import RetryConfig
from tests.support.flows import Number
from tests.support.lanes import first_ones

pytestmark = pytest.mark.anyio

Meanwhile = Callable[["Stage"], Awaitable[None]]


class Told(InMemoryWorkflowStore):
    """A store that sees each row, since it is a class of its own."""


class Stage:
    """What a run has around it: its store, its application, and what happens beside it."""

    def __init__(self, store: InMemoryWorkflowStore) -> None:
        self.store = store
        self.mastra = Mastra()
        self.run: Any = None
        self.calls: list[Any] = []
        self.seen: list[Any] = []
        self.kept: Any = None
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()

    @property
    def key(self) -> tuple[str, str]:
        return "w", self.run.run_id


async def facts_of(stage: Stage) -> dict[str, Any]:
    """Return all that can be known of a run."""
    head = await stage.store.get_run(*stage.key)
    rows = await stage.store.load_rows(*stage.key)
    info = await stage.mastra.get_workflow("w").get_run(stage.run.run_id)
    return {
        "head": head,
        "rows": [(row.key, row.data.to_stored()) for row in rows],  # type: ignore[union-attr]
        "snapshot": None if info is None else info.to_snapshot(),
        "calls": stage.calls,
        "seen": stage.seen,
    }


async def played(
    store: InMemoryWorkflowStore,
    build: Callable[[Stage], Any],
    *,
    data: Any = None,
    meanwhile: Meanwhile | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Run a workflow and return what came of it, seen from all sides."""
    stage, storage = Stage(store), InMemoryStorage()
    storage.workflows = store
    workflow = build(stage)
    async with Mastra(
        workflows={"w": workflow}, storage=storage, clock=FakeClock(1_800_000_000), ids=fake_ids()
    ) as mastra:
        stage.mastra = mastra
        run = stage.run = await mastra.get_workflow("w").create_run(resource_id="r")
        going = asyncio.ensure_future(run.start({"value": 1} if data is None else data, **options))
        if meanwhile is not None:
            await meanwhile(stage)
        else:
            stage.gate.set()
        result, raised = None, None
        try:
            result = await going
        except BaseException as error:  # noqa: BLE001 - compared
            raised = error
        assert store.quiet is None or workflow.spec.quiet_path, "it had to tell of itself"
        told: dict[str, Any] = {"raised": None if raised is None else (type(raised), str(raised))}
        if result is not None:
            told["wire"] = result.to_wire(state=True)
            told["steps"] = {name: step.status for name, step in result.steps.items()}
            told["path"] = result.step_execution_path
            told["text"] = repr(result)
        told |= await facts_of(stage)
        if await stage.store.get_run(*stage.key) is not None:
            head = await stage.store.get_run(*stage.key)
            if head is not None and head.status not in ("running", "pending"):
                events = [event.to_wire() async for event in run.observe_stream()]
                told["events"] = events
        return told


async def same(build: Callable[[Stage], Any], **options: Any) -> dict[str, Any]:
    """Run a workflow in quiet and told; return what came of it where that is the same."""
    quiet = await played(InMemoryWorkflowStore(), build, **options)
    told = await played(Told(), build, **options)
    for part in told:
        assert quiet[part] == told[part], part
    assert quiet.keys() == told.keys()
    return quiet


def flow(**options: Any) -> Any:
    types: dict[str, Any] = {"id": "w", "input_schema": Number, "output_schema": Number}
    return create_workflow(**{**types, **options})


def plus(id: str) -> Any:
    """Return a step that adds one."""

    async def execute(number: Number) -> Number:
        return Number(value=number.value + 1)

    return create_step(id=id, execute=execute)


def waiting(stage: Stage, id: str = "waits") -> Any:
    """Return a step that says that it is reached, and waits."""

    async def execute(number: Number) -> Number:
        stage.calls.append(id)
        stage.reached.set()
        await stage.gate.wait()
        return number

    return create_step(id=id, execute=execute)


# -- which runs are quiet ------------------------------------------------------------------------


async def test_a_plain_run_appends_nothing_until_somebody_asks() -> None:
    store = InMemoryWorkflowStore()
    rows = list[int]()

    async def meanwhile(stage: Stage) -> None:
        await stage.reached.wait()
        rows.append(len(store._runs[stage.key].stored))
        stage.gate.set()

    def build(stage: Stage) -> Any:
        return flow().then(plus("a")).then(waiting(stage)).commit()

    told = await played(store, build, meanwhile=meanwhile)
    assert rows == [0]
    assert [key for key, _ in told["rows"] if key] == ["a", "waits"]


@pytest.mark.parametrize("told", [False, True])
async def test_who_reads_or_watches_is_told_at_once(told: bool) -> None:
    store = Told() if told else InMemoryWorkflowStore()
    storage = InMemoryStorage()
    storage.workflows = store
    workflow = flow().then(plus("a")).then(plus("b")).commit()
    async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        types = [event.type async for event in run.stream({"value": 1})]
        watched = list[str]()
        other = await mastra.get_workflow("w").create_run()
        other.watch(lambda event: watched.append(event.type))
        await other.start({"value": 1})
        await asyncio.sleep(0.01)
    assert types[0] == watched[0] == "workflow-start"
    assert types[-1] == watched[-1] == "workflow-finish"
    assert types.count("workflow-step-result") == watched.count("workflow-step-result") == 2


# -- what steps do -------------------------------------------------------------------------------


async def _add(number: Number, stage: Stage) -> Any:
    del stage
    return Number(value=number.value + 1)


async def _give_data(number: Number, stage: Stage) -> Any:
    del stage
    return {"value": number.value + 1}


async def _sleep(number: Number, stage: Stage) -> Any:
    del stage
    await asyncio.sleep(0)
    return number


async def _fail(number: Number, stage: Stage) -> Any:
    raise ValueError(f"no good: {number.value}")


async def _fail_once(number: Number, stage: Stage) -> Any:
    if stage.calls.count("fail_once") < 2:
        raise ValueError("not yet")
    return number


async def _give_nonsense(number: Number, stage: Stage) -> Any:
    return "nonsense"


async def _cancel_itself(number: Number, stage: Stage) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return number


async def _await_something_cancelled(number: Number, stage: Stage) -> Any:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def _stop_iteration(number: Number, stage: Stage) -> Any:
    next(iter(()))


async def _exit(number: Number, stage: Stage) -> Any:
    raise SystemExit(3)


async def _interrupt(number: Number, stage: Stage) -> Any:
    raise KeyboardInterrupt


async def _close(number: Number, stage: Stage) -> Any:
    raise GeneratorExit


async def _group(number: Number, stage: Stage) -> Any:
    raise BaseExceptionGroup("several", [ValueError("a"), KeyboardInterrupt()])


async def _cancel_the_run(number: Number, stage: Stage) -> Any:
    await stage.run.cancel()
    return number


async def _look(number: Number, stage: Stage) -> Any:
    info = await stage.mastra.get_workflow("w").get_run(stage.run.run_id)
    assert info is not None
    stage.seen.append(info.to_snapshot())
    return number


async def _look_in_a_thread(number: Number, stage: Stage) -> Any:
    def look() -> Any:
        return asyncio.run(stage.store.load_rows(*stage.key))

    rows = await asyncio.to_thread(look)
    stage.seen.append([row.key for row in rows])
    return number


async def _delete(number: Number, stage: Stage) -> Any:
    await stage.store.delete_run(*stage.key)
    return number


async def _cancel_in_the_store(number: Number, stage: Stage) -> Any:
    await stage.store.update_run(*stage.key, {"status": "canceled"})
    return number


KINDS = {
    kind.__name__.strip("_"): kind
    for kind in (
        _add,
        _give_data,
        _sleep,
        _fail,
        _fail_once,
        _give_nonsense,
        _cancel_itself,
        _await_something_cancelled,
        _stop_iteration,
        _exit,
        _interrupt,
        _close,
        _group,
        _cancel_the_run,
        _look,
        _look_in_a_thread,
        _delete,
        _cancel_in_the_store,
    )
}


def step_of(kind: str, stage: Stage, id: str, **options: Any) -> Any:
    async def execute(number: Number) -> Number:
        stage.calls.append(kind)
        return await KINDS[kind](number, stage)

    return create_step(id=id, execute=execute, **options)


def _never(ctx: StepContext[Number]) -> bool:
    return False


def _if_positive(ctx: StepContext[Number]) -> bool:
    return ctx.input_data.value > 0


def taking_arms(stage: Stage, id: str = "arms") -> Any:
    """Return a step that takes what a branch gives."""

    async def execute(arms: dict[str, Number]) -> Number:
        stage.calls.append(sorted(arms))
        return next(iter(arms.values()), Number(value=0))

    return create_step(id=id, execute=execute)


@pytest.mark.parametrize("tries", [0, 2])
@pytest.mark.parametrize("before_a_branch", [False, True])
@pytest.mark.parametrize("place", first_ones(2, [1, 0, 2]))
@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_a_step_does_a_run_comes_to_the_same(
    kind: str, place: int, before_a_branch: bool, tries: int
) -> None:
    def build(stage: Stage) -> Any:
        workflow = flow(retry_config=RetryConfig(attempts=tries), output_schema=Any)
        for number in range(3):
            workflow.then(step_of(kind if number == place else "add", stage, f"s{number}"))
            if before_a_branch and number == place:
                workflow.branch(
                    [
                        (_never, step_of("add", stage, "no")),
                        (_if_positive, step_of("add", stage, "yes")),
                    ]
                )
                workflow.then(taking_arms(stage))
        return workflow.commit()

    await same(build)


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_an_arm_does_a_run_comes_to_the_same(kind: str) -> None:
    def build(stage: Stage) -> Any:
        return (
            flow(output_schema=dict[str, Number])
            .then(step_of("add", stage, "a"))
            .branch([(_if_positive, step_of(kind, stage, "arm"))])
            .commit()
        )

    await same(build)


# -- conditions ----------------------------------------------------------------------------------


async def _later(ctx: Any) -> bool:
    await asyncio.sleep(0)
    return ctx.input_data.value > 0


def _raises(ctx: Any) -> bool:
    raise ValueError(ctx.input_data.value)


def _ends(ctx: Any) -> bool:
    raise SystemExit(ctx.input_data.value)


def _asks_the_run(ctx: Any) -> bool:
    return (
        bool(ctx.get_step_result("first").value == 2)
        and ctx.state == {"seed": 1}
        and bool(ctx.run_id)
        and ctx.resource_id == "r"
        and ctx.get_init_data().value == 1
        and ctx.request_context.get("who") == "ann"
        and ctx.iteration_count == 0
    )


def _sets_state(ctx: Any) -> bool:
    ctx.set_state({"seen": ctx.input_data.value})
    return True


def _writes(ctx: Any) -> bool:
    ctx.writer.write({"at": ctx.input_data.value})
    return True


def _changes_the_context(ctx: Any) -> bool:
    ctx.request_context.set("who", "bob")
    return True


def _aborts(ctx: Any) -> bool:
    ctx.abort()
    return True


def _cancels_its_task(ctx: Any) -> bool:
    task = asyncio.current_task()
    assert task is not None
    return task.cancel()


async def _cancels_its_task_in_the_end(ctx: Any) -> bool:
    await asyncio.sleep(0)
    return _cancels_its_task(ctx)


def _asks_in_a_thread(ctx: Any) -> bool:
    found = list[Any]()
    thread = threading.Thread(target=lambda: found.append(dict(ctx.state)))
    thread.start()
    thread.join()
    return found == [{"seed": 1}]


def _gives_a_number(ctx: Any) -> Any:
    return ctx.input_data.value


class _Odd:
    def __bool__(self) -> bool:
        raise RuntimeError("neither")


def _gives_an_odd_one(ctx: Any) -> Any:
    return _Odd()


CONDITIONS = {
    condition.__name__.strip("_"): condition
    for condition in (
        _later,
        _raises,
        _ends,
        _asks_the_run,
        _sets_state,
        _writes,
        _changes_the_context,
        _aborts,
        _cancels_its_task,
        _cancels_its_task_in_the_end,
        _asks_in_a_thread,
        _gives_a_number,
        _gives_an_odd_one,
    )
}


@pytest.mark.parametrize("also", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_whatever_a_condition_does_a_run_comes_to_the_same(
    condition: str, also: bool
) -> None:
    def build(stage: Stage) -> Any:
        return (
            flow(output_schema=Any)
            .then(step_of("add", stage, "first"))
            .branch(
                [
                    (CONDITIONS[condition], step_of("add", stage, "one")),
                    (_if_positive if also else _never, step_of("add", stage, "other")),
                ]
            )
            .then(taking_arms(stage))
            .commit()
        )

    await same(build, initial_state={"seed": 1}, request_context={"who": "ann"})


@pytest.mark.parametrize("seed", first_ones(30, range(80)))
async def test_programs_of_chance_come_to_the_same(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inprocess_ops, "YIELD_AFTER_MS", random.Random(seed).choice([20, -1]))

    def build(stage: Stage) -> Any:
        chance = random.Random(seed)

        def step(id: str) -> Any:
            kind = chance.choice([*KINDS]) if chance.random() < 0.3 else "add"
            return step_of(kind, stage, id)

        workflow = flow(output_schema=Any, retry_config=RetryConfig(attempts=seed % 2))
        for number in range(chance.randint(1, 6)):
            workflow.then(step(f"s{number}"))
            if chance.random() < 0.4:
                known = [*CONDITIONS.values(), _if_positive]
                arms = [(chance.choice(known), step(f"{arm}{number}")) for arm in "ab"]
                workflow.branch(arms[: chance.randint(1, 2)])
                workflow.then(taking_arms(stage, f"arms{number}"))
        return workflow.commit()

    await same(build, initial_state={"seed": 1}, request_context={"who": "ann"})


@pytest.mark.parametrize("make_store", [InMemoryWorkflowStore, Told])
@pytest.mark.parametrize("condition", [_cancels_its_task, _cancels_its_task_in_the_end])
async def test_a_condition_that_cancels_its_own_task_counts_as_false(
    condition: Any, make_store: Any
) -> None:
    def build(stage: Stage) -> Any:
        arms = [(condition, step_of("sleep", stage, "arm"))]
        workflow = flow(output_schema=Any).then(plus("a")).branch(arms)
        return workflow.then(taking_arms(stage)).then(step_of("sleep", stage, "b")).commit()

    told = await played(make_store(), build)
    assert told["raised"] is None
    assert told["steps"] == {"a": "success", "arms": "success", "b": "success"}


@pytest.mark.parametrize("condition", [_cancels_its_task, _cancels_its_task_in_the_end])
async def test_a_condition_of_a_loop_that_cancels_its_own_task_fails_the_run(
    condition: Any,
) -> None:
    workflow = flow().then(plus("a")).dountil(plus("b"), condition).then(plus("c")).commit()
    result = await (await workflow.create_run()).start({"value": 1})
    assert result.status == "failed"
    assert "step 'b' cancelled its own task" in result.error.message


async def test_a_context_that_a_condition_keeps_knows_the_run_later_on() -> None:
    def build(stage: Stage) -> Any:
        def condition(ctx: Any) -> bool:
            stage.kept = ctx
            return True

        arms = [(condition, plus("b"))]
        return flow(output_schema=Any).then(plus("a")).branch(arms).commit()

    seen = list[Any]()
    for store in (InMemoryWorkflowStore(), Told()):
        stage, storage = Stage(store), InMemoryStorage()
        storage.workflows = store
        async with Mastra(workflows={"w": build(stage)}, storage=storage) as mastra:
            run = await mastra.get_workflow("w").create_run("x", "r")
            await run.start({"value": 1}, initial_state={"seed": 1}, request_context={"who": "ann"})
            ctx = stage.kept
            seen.append(
                [
                    ctx.request_context.to_dict(),
                    ctx.mastra is mastra,
                    (ctx.run_id, ctx.resource_id, ctx.state),
                    ctx.get_step_result("b"),
                ]
            )
            with pytest.raises(RunStateError, match="had ended"):
                ctx.writer.write("late")
    assert seen[0] == seen[1]
    assert seen[0][:2] == [{"who": "ann"}, True]


@pytest.mark.parametrize("place", [0, 1])
async def test_a_run_that_a_kept_context_aborts_ends_where_it_was(place: int) -> None:
    def build(stage: Stage) -> Any:
        def condition(ctx: Any) -> bool:
            stage.kept = ctx
            return True

        async def aborts(number: Number) -> Number:
            async def later() -> None:
                stage.kept.abort()

            await asyncio.create_task(later())
            return number

        aborting = create_step(id="aborts", execute=aborts)
        return (
            flow(output_schema=Any)
            .then(plus("a"))
            .then(plus("b"))
            .branch([(condition, plus("c") if place else aborting)])
            .then(taking_arms(stage))
            .then(aborting if place else plus("c"))
            .then(plus("d"))
            .commit()
        )

    assert (await same(build))["wire"]["status"] == "canceled"


@pytest.mark.parametrize("act", ["close_the_engine", "cancel"])
async def test_what_a_condition_changes_in_the_context_is_stored_if_the_run_ends_there(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inprocess_ops, "YIELD_AFTER_MS", -1)  # the others' turn after each step

    def build(stage: Stage) -> Any:
        context = stage.kept = RequestContext({"who": "ann"})

        def condition(ctx: Any) -> bool:
            context.set("who", "bob")
            stage.calls.append("condition")
            return True

        arms = [(condition, step_of("add", stage, "arm"))]
        return flow(output_schema=Any).then(plus("a")).branch(arms).commit()

    seen = list[Any]()
    for store in (InMemoryWorkflowStore(), Told()):
        stage, storage = Stage(store), InMemoryStorage()
        storage.workflows = store
        async with Mastra(workflows={"w": build(stage)}, storage=storage) as mastra:
            stage.mastra = mastra
            run = stage.run = await mastra.get_workflow("w").create_run("x")
            await run.start_async({"value": 1}, request_context=stage.kept)
            while not stage.calls:
                await asyncio.sleep(0)
            await OUTSIDE[act](stage)
            head = await store.get_run("w", "x")
            assert head is not None
            seen.append((stage.calls, head.status, head.request_context))
    assert seen[0] == seen[1]
    assert seen[0][2] == {"who": "bob"}


async def test_what_a_condition_changes_in_the_context_is_stored_before_the_next_step() -> None:
    def build(stage: Stage) -> Any:
        context = stage.kept = RequestContext({"who": "ann"})

        def condition(ctx: Any) -> bool:
            context.set("who", "bob")
            return True

        async def look(number: Number) -> Number:
            head = await stage.store.get_run(*stage.key)
            assert head is not None
            stage.seen.append(dict(head.request_context))
            return number

        arms = [(condition, create_step(id="looks", execute=look))]
        return flow(output_schema=Any).then(plus("a")).branch(arms).commit()

    for store in (InMemoryWorkflowStore(), Told()):
        stage, storage = Stage(store), InMemoryStorage()
        storage.workflows = store
        async with Mastra(workflows={"w": build(stage)}, storage=storage) as mastra:
            stage.run = await mastra.get_workflow("w").create_run()
            await stage.run.start({"value": 1}, request_context=stage.kept)
        assert stage.seen == [{"who": "bob"}]


# -- from outside --------------------------------------------------------------------------------


async def _nothing(stage: Stage) -> None:
    pass


async def _cancel(stage: Stage) -> None:
    await stage.run.cancel()


async def _stop_waiting(stage: Stage) -> None:
    waiter = asyncio.ensure_future(stage.run.result())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait({waiter})


async def _close_the_engine(stage: Stage) -> None:
    await stage.mastra.aclose()


async def _observe(stage: Stage) -> None:
    events = aiter(stage.run.observe_stream())
    stage.seen.append([(await anext(events)).type for _ in range(4)])


async def _delete_the_run(stage: Stage) -> None:
    stage.seen.append(await stage.mastra.get_workflow("w").delete_run(stage.run.run_id))


async def _ask(stage: Stage) -> None:
    stage.seen.append((await stage.run.journal()).keys())
    stage.seen.append(await stage.run.status())


OUTSIDE = {
    act.__name__.strip("_"): act
    for act in (
        _nothing,
        _cancel,
        _stop_waiting,
        _close_the_engine,
        _observe,
        _delete_the_run,
        _ask,
    )
}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("act", OUTSIDE)
async def test_whatever_is_done_to_it_from_outside_a_run_comes_to_the_same(
    act: str, begun: bool
) -> None:
    async def meanwhile(stage: Stage) -> None:
        if begun:
            await stage.reached.wait()
        elif act != "observe":
            for _ in range(3):  # until it is stored as running
                await asyncio.sleep(0)
        await OUTSIDE[act](stage) if begun or act != "observe" else None
        stage.gate.set()

    def build(stage: Stage) -> Any:
        return (
            flow()
            .then(step_of("add", stage, "a"))
            .then(waiting(stage))
            .then(step_of("add", stage, "b"))
            .commit()
        )

    await same(build, meanwhile=meanwhile)


@pytest.mark.parametrize("act", ["cancel", "close_the_engine", "stop_waiting", "ask"])
async def test_between_two_steps_too(act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess_ops, "YIELD_AFTER_MS", -1)  # the others' turn after each step

    async def meanwhile(stage: Stage) -> None:
        while stage.calls != ["add"]:
            await asyncio.sleep(0)
        await OUTSIDE[act](stage)

    def build(stage: Stage) -> Any:
        steps = [step_of("add", stage, f"s{number}") for number in range(3)]
        return flow().then(steps[0]).then(steps[1]).then(steps[2]).commit()

    await same(build, meanwhile=meanwhile)


class Small(BaseModel):
    """A number that is small, as whoever makes one says."""

    value: int

    @field_validator("value")
    @classmethod
    def _small(cls, value: int) -> int:
        if value > 2:
            raise ValueError("too large")
        return value


class Odd(BaseModel):
    """A number whose own code fails."""

    value: int

    @field_validator("value")
    @classmethod
    def _odd(cls, value: int) -> int:
        raise RuntimeError(value)


class Unkept(BaseModel):
    """A value that cannot be JSON."""

    value: Any = Field(default_factory=object)


async def _to_small(number: Number) -> Small:
    return Small(value=number.value)


async def _from_small(number: Small) -> Number:
    return Number(value=number.value + 2)


async def _from_odd(number: Odd) -> Number:
    return Number(value=number.value)


async def _to_unkept(number: Number) -> Unkept:
    return Unkept()


class Raising(BaseModel):
    """A number whose own code raises whatever it is told to."""

    raises: ClassVar[type[BaseException]] = Exception
    value: int

    @field_validator("value")
    @classmethod
    def _raise(cls, value: int) -> int:
        raise cls.raises("no")


async def _from_raising(number: Raising) -> Number:
    return Number(value=number.value)


async def _to_raising(number: Number) -> Raising:
    return {"value": 1}  # type: ignore[return-value]


@pytest.mark.parametrize("function", [_from_raising, _to_raising])
@pytest.mark.parametrize(
    "raises",
    [
        BaseException,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        StopIteration,
        asyncio.CancelledError,
        MemoryError,
    ],
)
async def test_whatever_a_validator_raises_comes_to_the_same(
    function: Any,
    raises: type[BaseException],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Raising, "raises", raises)

    def build(stage: Stage) -> Any:
        step = create_step(id="a", execute=function)
        return flow(output_schema=Any).then(plus("before")).then(step).commit()

    logged = list[list[str]]()
    with caplog.at_level(logging.INFO):
        for store in (InMemoryWorkflowStore(), Told()):
            caplog.clear()
            told = await played(store, build)
            assert told["steps"] == {"before": "success", "a": "failed"}
            logged.append(caplog.messages.copy())
    assert logged[0] == logged[1]  # each once
    await same(build)


class Moody(BaseModel):
    """A number whose own code counts its calls, and raises at one of them."""

    calls: ClassVar[list[str]] = []
    moody_at: ClassVar[int] = -1
    value: int

    @classmethod
    def _called(cls, what: str) -> None:
        cls.calls.append(what)
        if len(cls.calls) == cls.moody_at:
            raise KeyError("not now")

    @field_validator("value")
    @classmethod
    def _read(cls, value: int) -> int:
        cls._called("read")
        return value

    @field_serializer("value")
    def _write(self, value: int) -> int:
        self._called("write")
        return value


async def _moody(number: Moody) -> Moody:
    return {"value": number.value + 1}  # type: ignore[return-value]


@pytest.mark.parametrize("moody_at", range(1, 9))
async def test_values_are_read_and_written_as_often(
    moody_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(stage: Stage) -> Any:
        monkeypatch.setattr(Moody, "moody_at", moody_at)
        monkeypatch.setattr(Moody, "calls", stage.calls)
        steps = [create_step(id=f"s{number}", execute=_moody) for number in range(2)]
        return flow(output_schema=Any).then(steps[0]).then(steps[1]).commit()

    assert len((await same(build))["calls"]) >= moody_at


class Seen(BaseModel):
    """A number that has somebody look at the run, in another thread, when it is written."""

    looks: ClassVar[list[Callable[[], object]]] = []
    value: int

    @field_serializer("value")
    def _write(self, value: int) -> int:
        for look in self.looks:
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        return value


@pytest.mark.parametrize("before_a_branch", [False, True])
async def test_who_asks_while_an_output_is_written_finds_the_step_begun_and_no_other(
    before_a_branch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(stage: Stage) -> Any:
        def look() -> None:
            rows = asyncio.run(stage.store.load_rows(*stage.key))
            stage.seen.append([row.key for row in rows])

        monkeypatch.setattr(Seen, "looks", [look])

        async def give(number: Number) -> Seen:
            stage.calls.append("gives")
            return Seen(value=number.value + 1)

        async def take(seen: Seen) -> Number:
            stage.calls.append("takes")
            return Number(value=seen.value)

        workflow = flow(output_schema=Any).then(create_step(id="gives", execute=give))
        taking = create_step(id="takes", execute=take)
        if before_a_branch:
            return workflow.branch([(_if_positive, taking)]).commit()
        return workflow.then(taking).commit()

    assert (await same(build))["calls"] == ["gives", "takes"]


@pytest.mark.parametrize(
    "functions",
    [
        (_from_small, _from_small),
        (_to_small, _from_small),
        (_from_small, _to_small),
        (_from_odd,),
        (_to_small, _from_odd),
        (_to_unkept,),
    ],
)
@pytest.mark.parametrize("gives", [Number, Small, Odd, Any])
async def test_values_that_do_not_fit_come_to_the_same(functions: Any, gives: Any) -> None:
    def build(stage: Stage) -> Any:
        workflow = flow(output_schema=gives)
        for number, function in enumerate(functions):
            workflow.then(create_step(id=f"s{number}", execute=function))
        return workflow.commit()

    await same(build)


async def test_a_run_that_its_engine_left_is_restarted_where_it_was() -> None:
    for store in (InMemoryWorkflowStore(), Told()):
        storage = InMemoryStorage()
        storage.workflows = store
        stage = Stage(store)
        workflow = flow().then(step_of("add", stage, "a")).then(waiting(stage)).commit()
        async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
            run = await mastra.get_workflow("w").create_run()
            await run.start_async({"value": 1})
            await stage.reached.wait()
        stage.gate.set()
        async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
            again = await mastra.get_workflow("w").create_run(run.run_id)
            result = await again.restart()
            events = [event.type async for event in again.observe_stream()]
        assert result.unwrap() == Number(value=2)
        assert stage.calls == ["add", "waits", "waits"]
        assert events.count("workflow-start") == 1


async def test_what_is_changed_in_the_request_context_is_stored_with_the_step() -> None:
    def build(stage: Stage) -> Any:
        context = stage.seen_context = RequestContext({"who": "ann"})  # type: ignore[attr-defined]

        async def execute(number: Number) -> Number:
            context.set("who", "bob")
            return number

        async def look(number: Number) -> Number:
            head = await stage.store.get_run(*stage.key)
            assert head is not None
            stage.seen.append(dict(head.request_context))
            return number

        steps = create_step(id="sets", execute=execute), create_step(id="looks", execute=look)
        return flow().then(steps[0]).then(steps[1]).commit()

    for store in (InMemoryWorkflowStore(), Told()):
        stage = Stage(store)
        storage = InMemoryStorage()
        storage.workflows = store
        workflow = build(stage)
        async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
            stage.run = await mastra.get_workflow("w").create_run()
            context = stage.seen_context  # type: ignore[attr-defined]
            await stage.run.start({"value": 1}, request_context=context)
        assert stage.seen == [{"who": "bob"}]


# -- what is kept --------------------------------------------------------------------------------


async def test_a_result_can_be_copied_whether_it_was_looked_at_or_not() -> None:
    workflow = flow().then(plus("a")).commit()
    result = await (await workflow.create_run()).start({"value": 1})
    assert copy.copy(result).steps["a"].output == {"value": 2}
    facts = pickle.loads(pickle.dumps(result.facts.__reduce__()[1][:4]))
    assert facts == (result.run_id, "w", {"value": 1}, {})
    assert not hasattr(result.facts, "other")


STORES = first_ones(1, [InMemoryWorkflowStore, Told])


async def ended_run(store: InMemoryWorkflowStore, run_id: str | None = None) -> Any:
    """Return the result of a run, of which nobody else keeps anything."""
    storage = InMemoryStorage()
    storage.workflows = store
    async with Mastra(workflows={"w": flow().then(plus("a")).commit()}, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run(run_id)
        return await run.start({"value": 1})


@pytest.mark.parametrize("make_store", STORES)
async def test_a_result_is_the_same_as_its_copies_and_as_the_stored_one(make_store: Any) -> None:
    storage = InMemoryStorage()
    storage.workflows = make_store()
    async with Mastra(workflows={"w": flow().then(plus("a")).commit()}, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result = await run.start({"value": 1})
        stored = await (await mastra.get_workflow("w").create_run(run.run_id)).result()
        other = await (await mastra.get_workflow("w").create_run()).start({"value": 1})
    assert result == stored == copy.copy(result)
    assert stored == result != other
    assert dataclasses.replace(result.facts, run_id="x").run_id == "x"
    assert repr(result.facts) == repr(stored.facts)
    assert pickle.loads(pickle.dumps(result)).to_wire() == result.to_wire()


async def ended_elsewhere(store: InMemoryWorkflowStore) -> tuple[Any, Any]:
    """Return the result of a run in an event loop of its own, and what tells of that loop."""

    async def work() -> tuple[Any, Any]:
        return await ended_run(store), weakref.ref(asyncio.get_running_loop())

    return await asyncio.to_thread(lambda: asyncio.run(work()))


@pytest.mark.parametrize("make_store", STORES)
async def test_a_result_keeps_neither_application_nor_store_nor_event_loop(make_store: Any) -> None:
    store = make_store()
    result, loop = await ended_elsewhere(store)
    gone = weakref.ref(store)
    gc.collect()
    assert loop() is None, "the store keeps it"
    del store
    gc.collect()
    assert gone() is None
    assert result.steps["a"].output == {"value": 2}


@pytest.mark.parametrize("make_store", STORES)
async def test_a_store_that_is_gone_leaves_nothing_to_the_garbage_collector(
    make_store: Any,
) -> None:
    store = make_store()
    await ended_elsewhere(store)
    kept = weakref.ref(next(iter(store._runs.values())))
    gc.collect()
    gc.disable()
    try:
        del store
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("make_store", STORES)
async def test_a_run_that_was_deleted_tells_nothing_to_another_of_its_id(make_store: Any) -> None:
    store = make_store()
    first = await ended_run(store, "x")
    await store.delete_run("w", "x")
    second = await ended_run(store, "x")
    assert first.steps["a"].output == second.steps["a"].output
    assert [row.key for row in await store.load_rows("w", "x")] == ["", "a", ""]


@pytest.mark.parametrize("make_store", STORES)
async def test_a_store_can_be_copied(make_store: Any) -> None:
    store = make_store()
    await ended_run(store, "x")
    for other in (copy.deepcopy(store), pickle.loads(pickle.dumps(store)), store.image()):
        assert [row.key for row in await other.load_rows("w", "x")] == ["", "a", ""]


@pytest.mark.parametrize("make_store", STORES)
async def test_the_context_is_stored_as_it_is_at_the_end(make_store: Any) -> None:
    seen, storage = list[int](), InMemoryStorage()
    storage.workflows = make_store()

    async def note(number: Number) -> Number:
        seen.append(number.value)
        return number

    workflow = flow().then(create_step(id="a", execute=note)).commit()
    async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run("x")
        await run.start({"value": 1}, request_context={"seen": seen})
        head = await storage.workflows.get_run("w", "x")
    assert head is not None
    assert head.request_context == {"seen": [1]}


async def test_what_stands_before_a_store_or_is_made_of_an_engine_sees_all() -> None:
    class Before:
        """Counts what a store is asked."""

        def __init__(self) -> None:
            self.store = InMemoryWorkflowStore()
            self.asked: list[str] = []

        def __getattr__(self, name: str) -> Any:
            self.asked.append(name)
            return getattr(self.store, name)

    class Noting(InProcessEngine):
        """Counts what it is to begin."""

        launched = 0

        async def launch(self, command: Any) -> Any:
            self.launched += 1
            return await super().launch(command)

    workflow, storage, engine = flow().then(plus("a")).commit(), InMemoryStorage(), Noting()
    before: Any = Before()
    storage.workflows = before
    async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
        await (await mastra.get_workflow("w").create_run()).start({"value": 1})
    assert before.asked.count("update_run") == 2
    assert "append" in before.asked
    async with Mastra(workflows={"w": workflow}, engine=engine) as mastra:
        await (await mastra.get_workflow("w").create_run()).start({"value": 1})
    assert engine.launched == 1


@pytest.mark.parametrize("first", ["branch", "parallel", "nested", "context", "plain"])
async def test_all_but_plain_steps_and_branches_behind_one_tell_of_themselves(first: str) -> None:
    async def see(ctx: StepContext[Number]) -> Number:
        return ctx.input_data

    workflow = flow(output_schema=Any)
    if first == "branch":
        workflow.branch([(_if_positive, plus("a"))])
    elif first == "parallel":
        workflow.parallel([plus("a")])
    elif first == "nested":
        workflow.then(flow(id="inner").then(plus("a")).commit())
    else:
        workflow.then(create_step(id="a", execute=see) if first == "context" else plus("a"))
    workflow.commit()
    result = await (await workflow.create_run()).start({"value": 1})
    assert result.status == "success"
    assert bool(workflow.spec.quiet_path) == (first == "plain")


async def test_what_a_run_has_told_is_not_kept_twice() -> None:
    store, storage = InMemoryWorkflowStore(), InMemoryStorage()
    storage.workflows = store
    async with Mastra(workflows={"w": flow().then(plus("a")).commit()}, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result = await run.start({"value": 1})
        kept = store._runs["w", run.run_id]
        assert kept.untold is not None
        assert not kept.stored
        assert result.steps["a"].status == "success"
        assert kept.untold is None
        rows = len(kept.stored)
        assert len(await store.load_rows("w", run.run_id)) == rows > 0


@pytest.mark.parametrize("make_store", STORES)
async def test_a_result_that_was_looked_at_keeps_no_log(make_store: Any) -> None:
    result = await ended_run(make_store())
    record = result.facts.records["a"]
    # From Python 3.12 on the loop's handle, which holds what it has just ended, holds its frames too.
    await asyncio.sleep(0)
    gc.collect()
    kinds: set[Any] = {type(item) for item in gc.get_referrers(record)}
    assert tuple not in kinds


async def test_runs_may_begin_while_they_are_listed() -> None:
    store = InMemoryWorkflowStore()

    class Beginning(list[str]):
        """Statuses to look for. While they are looked at, another thread begins a run."""

        def __contains__(self, status: object) -> bool:
            head = RunHead("w", f"x{len(store._runs)}", "running")
            with contextlib.suppress(StopIteration):
                store.create_run(head).send(None)
            return True

    await store.create_run(RunHead("w", "x0", "success"))
    assert (await store.list_runs(status=Beginning())).total == 1
    assert await store.delete_runs_before(2**60, statuses=Beginning()) == 2
    assert (await store.list_runs()).total == 2


async def test_many_threads_may_ask_at_once() -> None:
    store, storage = InMemoryWorkflowStore(), InMemoryStorage()
    storage.workflows = store
    stage = Stage(store)
    workflow = flow().then(step_of("add", stage, "a")).then(waiting(stage)).commit()
    async with Mastra(workflows={"w": workflow}, storage=storage) as mastra:
        for _ in range(30):
            stage.reached, stage.gate = asyncio.Event(), asyncio.Event()
            run = stage.run = await mastra.get_workflow("w").create_run()
            going = asyncio.ensure_future(run.start({"value": 1}))
            await stage.reached.wait()
            barrier = threading.Barrier(5)

            def ask(barrier: threading.Barrier = barrier) -> list[str]:
                barrier.wait()
                return [row.key for row in asyncio.run(store.load_rows(*stage.key))]

            asked = [asyncio.to_thread(ask) for _ in range(4)]
            looks = asyncio.gather(*asked)
            await asyncio.to_thread(barrier.wait)
            stage.gate.set()
            seen, result = await looks, await going
            assert result.status == "success"
            rows = [row.key for row in await store.load_rows(*stage.key)]
            assert [key for key in rows if key] == ["a", "waits"]
            assert all(keys == rows[: len(keys)] for keys in seen)
