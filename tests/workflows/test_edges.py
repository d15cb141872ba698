"""Runs, streams and definitions where they are seldom: late, cut off, unregistered, changed."""

from __future__ import annotations

import asyncio
import functools
import math
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from mastra import (
    ConfigError,
    IdTakenError,
    InMemoryStorage,
    Mastra,
    RunStateError,
    SQLStorage,
    StepContext,
    StorageError,
    WorkflowDefinitionError,
    WorkflowFailed,
    create_step,
    create_workflow,
    step,
)
from mastra.errors import InputValidationError
from mastra.evals import create_scorer
from mastra.storage.in_process import InMemoryWorkflowStore
from mastra.workflows.engines.inprocess import InProcessEngine
from mastra.workflows.event_log import EventLog
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.runtime import Runtime
from tests.support.engines import Calls
from tests.support.waiting import Gate, asking, blocking, plus


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def flow(id: str = "w", **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=Any, **options)


def of(function: Any, id: str = "s", **options: Any) -> Any:
    made = create_step(id=id, execute=function, **options)
    return create_workflow(id="w", input_schema=Any, output_schema=Any).then(made).commit()


# -- functions ---------------------------------------------------------------------------------


async def test_a_function_that_tells_no_signature_is_called_with_the_input() -> None:
    run = await of(max).create_run()
    assert (await run.start([1, 3, 2])).unwrap() == 3


def test_a_function_that_wraps_itself_is_refused() -> None:
    def endless(value: int) -> int:
        return value

    functools.update_wrapper(endless, endless)
    with pytest.raises(WorkflowDefinitionError, match="wraps itself"):
        create_step(id="s", execute=endless)


def test_one_of_several_words_may_be_what_is_wanted() -> None:
    def gives(value: int) -> Literal["low", "high"]:
        return "low" if value < 0 else "high"

    def takes(value: Literal["high", "top"]) -> str:
        return value

    def refuses(value: Literal["top"]) -> str:
        return value

    first = create_step(id="gives", execute=gives)
    assert flow().then(first).then(create_step(id="takes", execute=takes)).commit().id == "w"
    with pytest.raises(WorkflowDefinitionError, match="'top', which step 'gives' gives as"):
        flow().then(first).then(create_step(id="refuses", execute=refuses)).commit()


def test_items_of_any_kind_may_be_taken_one_by_one() -> None:
    def shown(value: Any) -> str:
        return str(value)

    each = create_step(id="shown", execute=shown)
    taking = create_workflow(id="w", input_schema=list[int], output_schema=list[str])
    assert taking.foreach(each).commit().id == "w"
    with pytest.raises(WorkflowDefinitionError, match="the foreach over step 'shown' needs list"):
        flow().foreach(each).commit()


# -- what a step may ask of its context --------------------------------------------------------


class Shown:
    def to_wire(self) -> dict[str, Any]:
        return {"shown": True}


class Named(BaseModel):
    to_wire: str


async def test_what_knows_how_it_is_sent_is_written_so() -> None:
    def write(ctx: StepContext[int]) -> int:
        ctx.writer.write(Shown())
        ctx.writer.write(Named(to_wire="by a wire"))
        ctx.writer.custom({"type": "data-thing", "data": 1})
        return ctx.input_data

    run = await of(write).create_run()
    events = [event async for event in run.stream(1)]
    written = [e.payload.output for e in events if e.type == "workflow-step-output" and e.payload]
    assert written == [{"shown": True}, {"to_wire": "by a wire"}]
    assert [event.type for event in events if event.type.startswith("data-")] == ["data-thing"]


async def test_a_workflow_that_is_not_registered_has_no_application() -> None:
    def ask(ctx: StepContext[int]) -> Any:
        return ctx.mastra

    result = await (await of(ask).create_run()).start(1)
    assert isinstance(result, WorkflowFailed)
    assert "'w' is not registered: pass it to `Mastra(workflows=" in result.error.message


# -- what a run begins with --------------------------------------------------------------------


@pytest.mark.parametrize("state", [5, "x", [1]])
async def test_a_state_is_a_mapping(state: Any) -> None:
    run = await of(lambda value: value).create_run()
    with pytest.raises(InputValidationError, match="must be a mapping"):
        await run.start(1, initial_state=state)


made = iter([1, "one", 2, None, 3, [1], 4, {"a": 1}, 5, 6, [1, 2], [1], 7] * 9)


class Order(BaseModel):
    name: str
    size: float = 0
    note: Any = Field(default_factory=lambda: next(made))
    tags: dict[str, int] = Field(default_factory=lambda: {str(random.random()): 1})
    numbers: list[float] = Field(default_factory=lambda: [random.random(), 0.5])


async def test_defaults_of_any_form_may_differ_each_time() -> None:
    async def name(order: Order) -> str:
        return order.name

    step = create_step(id="name", execute=name)
    workflow = create_workflow(id="w", input_schema=Order, output_schema=str).then(step).commit()
    run = await workflow.create_run()
    await run.start({"name": "a", "size": math.nan})
    for _ in range(12):
        assert (await run.start({"name": "a", "size": math.nan})).unwrap() == "a"
    for other in (
        {"name": "b", "size": math.nan},
        {"name": "a", "size": 5},
        {"name": "a", "size": math.nan, "tags": {}},
        {"name": "a", "size": math.nan, "numbers": [1, 2, 3]},
        {"name": "a", "size": math.nan, "numbers": [1, 2]},
    ):
        with pytest.raises(RunStateError, match="another input"):
            await run.start(other)


async def test_not_a_number_is_not_any_number() -> None:
    run = await of(lambda value: value).create_run()
    await run.start(5.0)
    with pytest.raises(RunStateError, match="another input"):
        await run.start(math.nan)


# -- answers while a run is under way ----------------------------------------------------------


async def test_an_answer_that_may_be_for_two_steps_is_refused_at_once(
    calls: Calls, url: str
) -> None:
    gate = Gate()
    steps = [asking(calls, "a"), asking(calls, "b"), blocking(calls, "c", gate)]
    async with Mastra(workflows=[flow().parallel(steps).commit()], storage=SQLStorage(url)) as app:
        workflow = app.get_workflow("w")
        run = await workflow.create_run()
        async with run.stream(1) as stream:
            await gate.reached.wait()
            while len(found := await waiting(workflow, run.run_id)) < 2:
                await asyncio.sleep(0.01)
            assert found == {"a", "b"}
            with pytest.raises(RunStateError) as refused:
                await run.resume({"add": 1})
            assert refused.value.code == "RESUME_TARGET_AMBIGUOUS"
            gate.opened.set()
            assert (await stream.result()).status == "suspended"


async def waiting(workflow: Any, run_id: str) -> set[str]:
    info = await workflow.get_run(run_id)
    return {name for name, part in info.steps.items() if part.status == "suspended"}


# -- streams and what was stored ---------------------------------------------------------------


async def test_a_stream_of_nothing_has_used_nothing(calls: Calls) -> None:
    run = await flow().then(plus(calls, "a")).commit().create_run()
    await run.start(1)
    assert await run.observe_stream(offset=100).usage() == {}
    assert (await run.observe_stream().usage())["totalTokens"] == 0


async def test_a_stored_run_is_read_in_batches(calls: Calls, url: str) -> None:
    async with Mastra(
        workflows=[flow().then(plus(calls, "a")).commit()], storage=SQLStorage(url)
    ) as app:
        run = await app.get_workflow("w").create_run("r")
        expected = [event.to_wire() async for event in run.stream(1)]
    async with Mastra(
        workflows=[flow().then(plus(calls, "a")).commit()], storage=SQLStorage(url)
    ) as app:
        run = await app.get_workflow("w").create_run("r")
        batches = [batch async for batch in run.observe_stream().batches(3)]
        assert [event.to_wire() for batch in batches for event in batch] == expected


async def test_a_reader_that_is_cancelled_while_something_comes_is_no_hindrance() -> None:
    log = EventLog()
    reading = [asyncio.create_task(log.grown(0)) for _ in range(2)]
    await asyncio.sleep(0)
    reading[0].cancel()
    log.append(Kind.START)
    await reading[1]
    with pytest.raises(asyncio.CancelledError):
        await reading[0]


def test_steps_events_before_what_is_no_longer_kept_are_there() -> None:
    log = EventLog([None])
    record = StepRecord("s", "s", None, 0)
    for kind in (Kind.START, Kind.STEP_START):
        log.append(kind, record)
    log.append_output(Kind.OUTPUT, record, "a")
    log.entries.floor = 4
    assert log.entries.end_of_kept(0, 64) == 0
    assert log.entries.end_of_kept(1, 2) == 3
    assert log.entries.end_of_kept(1, 64) == 3
    assert log.entries[1:] == [(Kind.START, record, None), (Kind.STEP_START, record, None), None]


async def test_the_snapshot_of_what_waits_in_a_block(calls: Calls) -> None:
    def ask(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            ctx.suspend("which one?")
        return ctx.input_data

    inner = flow("inner").then(create_step(id="deep", execute=ask)).commit()
    workflow = flow().then(plus(calls, "a")).parallel([plus(calls, "b"), inner]).commit()
    await (await workflow.create_run("r")).start(1)
    found = (await workflow.get_run("r")).to_snapshot()
    assert found["suspendedPaths"] == {"inner": [1, 1, 0]}
    assert found["context"]["inner"]["suspendPayload"] == "which one?"
    assert found["context"]["inner.deep"]["suspendPayload"] == "which one?"


@pytest.mark.parametrize("kind", ["top", "inner"])
async def test_what_a_definition_no_longer_has_is_left_out_of_the_places(
    kind: str, calls: Calls
) -> None:
    ask, other = asking(calls, "ask"), plus(calls, "other")
    inner = flow("inner").then(ask).commit()
    before = flow().then(plus(calls, "a")).then(ask if kind == "top" else inner).commit()
    inner_now = flow("inner").then(other).commit()
    after = flow().then(plus(calls, "a")).then(other if kind == "top" else inner_now).commit()
    storage = InMemoryStorage()
    first = Mastra(workflows=[before], storage=storage)
    await (await first.get_workflow("w").create_run("r")).start(1)
    second = Mastra(workflows=[after], storage=storage)
    info = await second.get_workflow("w").get_run("r")
    assert info is not None
    where: dict[str, Any] = {"ask": []} if kind == "top" else {"inner": [1]}
    assert info.to_snapshot()["suspendedPaths"] == where
    assert info.to_wire()["suspendedPaths"] == where


# -- workflows in hand -------------------------------------------------------------------------


async def test_a_workflow_may_be_tied_to_an_engine_before_and_after_it_is_registered(
    calls: Calls,
) -> None:
    own, later = InProcessEngine(), InProcessEngine()
    workflow = flow().then(plus(calls, "a")).commit()
    assert workflow.use_engine(own) is workflow
    app = Mastra(workflows=[workflow])
    registered = app.get_workflow("w")
    assert registered.runtime.engine is own
    registered.use_engine(later, flow_control={"concurrency": 1})
    assert registered.runtime.engine is later
    assert registered.spec.flow_control == {"concurrency": 1}
    assert (await (await registered.create_run()).start(1)).unwrap() == 2


async def test_a_run_of_another_is_not_given_by_its_id(calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).commit()
    await workflow.create_run("r", resource_id="ann")
    with pytest.raises(IdTakenError, match="another resource's run"):
        await workflow.create_run("r", resource_id="ben")
    assert (await workflow.create_run("r")).resource_id == "ann"
    with pytest.raises(ConfigError, match="run_id is ''"):
        await workflow.create_run("")


async def test_a_storage_that_cannot_answer_is_told_of(calls: Calls, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    storage = SQLStorage(f"sqlite:///{path}")
    workflow = flow().then(plus(calls, "a")).commit()
    async with Mastra(workflows=[workflow], storage=storage) as app:
        registered = app.get_workflow("w")
        await (await registered.create_run("r")).start(1)
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE mastra_workflow_journal")
        with pytest.raises(StorageError):
            await registered.get_run("r")


# -- definitions that hold themselves ----------------------------------------------------------


@dataclass
class Tree:
    name: str
    parts: list[Tree] | None = None


async def test_a_type_that_holds_itself_may_be_what_a_step_takes() -> None:
    @step
    def name(tree: Tree) -> str:
        return tree.name

    @step
    def ask(ctx: StepContext[str]) -> str:
        if ctx.resume_data is None:
            ctx.suspend({})
        return ctx.input_data

    storage = InMemoryStorage()

    def application() -> Any:
        workflow = create_workflow(id="w", input_schema=Tree, output_schema=str)
        return Mastra(workflows=[workflow.then(name).then(ask).commit()], storage=storage)

    run = await application().get_workflow("w").create_run("r")
    await run.start({"name": "a", "parts": [{"name": "b"}]})
    run = await application().get_workflow("w").create_run("r")
    assert (await run.resume({"go": 1})).unwrap() == "a"


# -- runs of another release -------------------------------------------------------------------


@pytest.mark.parametrize("has_versions", [False, True])
async def test_a_run_whose_definition_a_later_release_noted_goes_on(
    has_versions: bool, calls: Calls
) -> None:
    def inner(version: str) -> Any:
        return flow("inner", version=version).then(plus(calls, "a")).commit()

    outer = flow().then(inner("2")).then(asking(calls, "ask")).commit()
    given: dict[str, Any] = {"w": outer}
    if has_versions:
        given["inner"] = [inner("1"), inner("2")]
    app = Mastra(workflows=given, storage=InMemoryStorage())
    workflow = app.get_workflow("w")
    run = await workflow.create_run("r")
    await run.start(1)
    store = workflow.runtime.store
    head = await store.get_run("w", "r")
    assert head is not None
    graph = head.data["graph"].replace("[1,", "[99,", 1)
    changed = {**head.data, "graph": graph}
    assert await store.update_run("w", "r", {"data": changed}, expected_status=("suspended",))
    assert (await (await workflow.create_run("r")).resume({"add": 1})).unwrap() == 3


# -- what is scored ----------------------------------------------------------------------------


async def test_what_is_not_registered_is_not_scored_and_gives_what_it_gives(calls: Calls) -> None:
    def score(_: Any) -> float:
        raise AssertionError("nobody keeps scores of it")

    scorer = create_scorer(id="s", description="One.").generate_score(score)
    scorers = {"s": {"scorer": scorer}}
    one = create_step(id="one", execute=lambda value: value, scorers=scorers)
    inner = flow("inner", scorers=scorers).then(one).commit()
    run = await flow(scorers=scorers).then(inner).commit().create_run()
    assert (await run.start(1)).unwrap() == 1


# -- lists that change while they are read -----------------------------------------------------


class Forgetful(InMemoryWorkflowStore):
    """Has a run deleted by somebody between the listing and the look at it."""

    async def list_runs(self, workflow_id: str, **options: Any) -> Any:
        found = await super().list_runs(workflow_id, **options)
        await self.delete_run(workflow_id, "gone")
        return found


async def test_a_run_that_is_deleted_while_it_is_listed_is_left_out(calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).commit()
    workflow.bind(Runtime(InProcessEngine(), Forgetful(), None))
    for name in ("kept", "gone"):
        await (await workflow.create_run(name)).start(1)
    assert [info.run_id for info in (await workflow.list_runs()).runs] == ["kept"]
