"""Whatever users' code raises ends its step with a record, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from mastra import StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env


def only(execute: Any) -> Any:
    """Return a workflow of one step, called `bad`."""
    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    return flow.then(create_step(id="bad", execute=execute)).commit()


class Odd(BaseException):
    """No `Exception`."""


class TextlessError(Exception):
    def __str__(self) -> str:
        raise KeyError("error")


class NoTextError(Exception):
    def __str__(self) -> str:
        return cast("str", 7)


class PricklyError(Exception):
    @property
    def code(self) -> str:
        raise RuntimeError("not now")

    @property
    def details(self) -> dict[str, Any]:
        raise Odd("not now either")


class GoneMapping(Mapping[str, Any]):
    """A view of something that is closed by now."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("closed")

    def __iter__(self) -> Any:
        raise RuntimeError("closed")

    def __len__(self) -> int:
        raise RuntimeError("closed")


class StandIn:
    """What a web framework puts in place of a value that only a request has."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")

    @__class__.setter
    def __class__(self, kind: Any) -> None: ...


class LateText(str):
    def __getitem__(self, key: Any) -> str:
        raise RuntimeError("translated when it is shown")

    __slots__ = ()


class Nameless(type):
    @property
    def __name__(cls) -> str:
        raise RuntimeError("no name")


class NamelessError(Exception, metaclass=Nameless):
    pass


class NeedyError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, body: dict[str, Any], *, status: int) -> None:
        self.body, self.status = body, status


class ClosedGroup(BaseExceptionGroup[BaseException]):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("closed")


def having(**facts: Any) -> Callable[[], BaseException]:
    def make() -> BaseException:
        error = ValueError("x")
        for name, value in facts.items():
            setattr(error, name, value)
        return error

    return make


RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "StopIteration": (lambda: StopIteration("none"), "StopIteration"),
    "StopAsyncIteration": (StopAsyncIteration, "StopAsyncIteration"),
    "SystemExit": (lambda: SystemExit(2), "SystemExit"),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "GeneratorExit": (GeneratorExit, "GeneratorExit"),
    "CancelledError": (asyncio.CancelledError, "MastraError"),
    "a BaseException": (lambda: Odd("x"), "Odd"),
    "no text": (TextlessError, "TextlessError"),
    "a text that is none": (NoTextError, "NoTextError"),
    "attributes that raise": (lambda: PricklyError("x"), "PricklyError"),
    "details that are gone": (having(details=GoneMapping()), "ValueError"),
    "a stand-in as details": (having(details=StandIn()), "ValueError"),
    "a stand-in as code": (having(code=StandIn()), "ValueError"),
    "a stand-in as note": (having(__notes__=[StandIn()]), "ValueError"),
    "a code of 5001 digits": (having(code=10**5000), "ValueError"),
    "a code that is text of another class": (having(code=LateText("late")), "ValueError"),
    "details that no JSON holds": (having(details={"a": 10**5000, "\ud800": {1}}), "ValueError"),
    "a class without a name": (lambda: NamelessError("x"), "NamelessError"),
    "no arguments to make it of": (lambda: NeedyError({}, status=500), "NeedyError"),
    "a group that is closed": (lambda: ClosedGroup("x", [SystemExit(2)]), "ClosedGroup"),
    "a lone surrogate": (lambda: FileNotFoundError("no file \udc80.txt"), "FileNotFoundError"),
    "a long text": (lambda: ValueError("x" * 5_000_000), "ValueError"),
    "a group": (lambda: BaseExceptionGroup("two", [ValueError("a"), SystemExit(3)]), "BaseExceptionGroup"),
}  # fmt: skip


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("kind", RAISED)
async def test_it_fails_the_step(env: Env, calls: Calls, kind: str, is_sync: bool) -> None:
    make, name = RAISED[kind]

    async def bad(ctx: StepContext[Any]) -> None:
        calls.add("bad")
        raise make()

    def plain(ctx: StepContext[Any]) -> None:
        calls.add("bad")
        raise make()

    workflow = env.workflow(only(plain if is_sync else bad))
    run = await workflow.create_run()
    result = await asyncio.wait_for(run.start(), 50)
    assert result.status == "failed"
    assert calls["bad"] == 1
    stored = await workflow.get_run(run.run_id)
    assert stored is not None
    assert stored.status == "failed"
    told = result.to_wire()["error"]
    if not is_sync and kind == "StopIteration":
        name = "RuntimeError"  # what Python makes of it in a coroutine
    assert told["name"] == name
    assert len(told["message"]) < 20_000
    told["message"].encode()


async def test_a_group_tells_of_its_members_and_notes(env: Env) -> None:
    async def bad(ctx: StepContext[Any]) -> None:
        inner = ExceptionGroup("inner", [KeyError("k"), ValueError("table 'orders' is locked")])
        group = ExceptionGroup("outer", [inner, OSError("disk")])
        group.add_note("while reading orders")
        raise group

    result = await env.start(only(bad))
    details = result.to_wire()["error"]["details"]
    assert details["notes"] == ["while reading orders"]
    inner, outer = details["errors"]
    assert [member["message"] for member in inner["details"]["errors"]] == [
        "'k'",
        "table 'orders' is locked",
    ]
    assert outer["name"] == "OSError"


async def test_a_chain_of_causes_has_an_end(env: Env) -> None:
    async def bad(ctx: StepContext[Any]) -> None:
        first = last = ValueError("0")
        for number in range(1, 200):
            error = ValueError(str(number))
            last.__cause__ = error
            last = error
        last.__cause__ = first  # and a circle
        raise first

    result = await env.start(only(bad))
    depth, told = 0, result.to_wire()["error"]
    while "cause" in told:
        depth, told = depth + 1, told["cause"]
    assert 3 <= depth <= 20


async def test_a_step_that_awaits_what_others_cancel_fails(env: Env) -> None:
    async def bad(ctx: StepContext[Any]) -> None:
        work = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(work.cancel)
        await work

    result = await env.start(only(bad))
    assert result.status == "failed"


async def test_an_output_with_half_a_character_fails_its_step(env: Env, calls: Calls) -> None:
    async def bad(ctx: StepContext[Any]) -> Any:
        calls.add("bad")
        return {"text": "\ud83d"}

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    workflow = env.workflow(flow.then(create_step(execute=bad)).commit())
    run = await workflow.create_run()
    result = await run.start()
    assert (result.status, calls["bad"]) == ("failed", 1)
    assert "bad" in result.to_wire()["error"]["message"]
    stored = await workflow.get_run(run.run_id)
    assert stored is not None
    assert stored.status == "failed"


# -- plain functions -----------------------------------------------------------------------------


async def test_plain_steps_suspend_and_set_state(env: Env) -> None:
    def approval(ctx: StepContext[Any]) -> str:
        if ctx.resume_data is None:
            _ = ctx.suspend({"question": "transfer a million?"})
        ctx.set_state({"approved": True})
        ctx.writer.write("sent")
        return "transferred"

    def look(ctx: StepContext[Any]) -> dict[str, Any]:
        return dict(ctx.state)

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    flow = flow.then(create_step(execute=approval)).then(create_step(execute=look)).commit()
    run = await env.workflow(flow).create_run()
    result = await run.start()
    assert result.status == "suspended"
    assert result.to_wire()["suspendPayload"] == {"approval": {"question": "transfer a million?"}}
    events, result = await env.read(run.resume_stream("yes", step="approval"))
    assert result.unwrap() == {"approved": True}
    assert "sent" in [
        event.payload.output for event in events if event.type == "workflow-step-output"
    ]


async def test_a_call_that_is_not_awaited_counts(
    env: Env, recwarn: pytest.WarningsRecorder
) -> None:
    async def ask(ctx: StepContext[Any]) -> str:
        if ctx.resume_data is None:
            _ = ctx.suspend("?")
        ctx.set_state({"a": 1})
        ctx.writer.write("w")
        ctx.writer.custom({"type": "data-x", "data": 1})
        return "done"

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    run = await env.workflow(flow.then(create_step(execute=ask)).commit()).create_run()
    assert (await run.start()).status == "suspended"
    result = await run.resume("yes", step="ask")
    assert result.unwrap() == "done"
    assert result.state == {"a": 1}
    assert not [warning for warning in recwarn if "never awaited" in str(warning.message)]


async def test_what_a_plain_step_writes_comes_in_order(env: Env) -> None:
    def talk(ctx: StepContext[Any]) -> str:
        for number in range(2000):
            ctx.writer.write(number)
        return "done"

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    flow = flow.then(create_step(execute=talk)).commit()
    events, result = await env.events(flow)
    assert result.unwrap() == "done"
    written = [e.payload.output for e in events if e.type == "workflow-step-output"]
    assert written == list(range(2000))


async def test_a_caught_suspend_suspends_all_the_same(env: Env) -> None:
    async def ask(ctx: StepContext[Any]) -> str:
        if ctx.resume_data is None:
            with contextlib.suppress(BaseException):
                await ctx.suspend({"question": "?"})
        return f"answered {ctx.resume_data}"

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    run = await env.workflow(flow.then(create_step(execute=ask)).commit()).create_run()
    assert (await run.start()).status == "suspended"
    assert (await run.resume("yes", step="ask")).unwrap() == "answered yes"


async def test_items_of_a_plain_step_run_at_once(env: Env) -> None:
    import threading

    together = threading.Barrier(20)

    def meet(number: int) -> int:
        together.wait(15)  # breaks unless twenty are there at once
        return number

    flow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    flow = flow.foreach(create_step(execute=meet), concurrency=20).commit()
    result = await env.start(flow, list(range(20)))
    assert result.unwrap() == list(range(20))
