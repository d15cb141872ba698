"""An application's registry and small things that all else stands on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Agent,
    InMemoryStorage,
    InProcessEngine,
    Mastra,
    RequestContext,
    SQLStorage,
    create_workflow,
)
from mastra.clock import SystemClock, sleep_until
from mastra.errors import ConfigError, MissingDependencyError
from mastra.evals import Dataset, create_scorer
from mastra.extras import needs
from mastra.given import shown
from mastra.testing import FakeClock, ScriptedModel

pytestmark = pytest.mark.anyio


def flow(id: str) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=int).sleep(0).commit()


def test_two_workflows_of_one_id_are_refused_and_one_takes_its_own_place() -> None:
    mastra = Mastra(workflows={"first": flow("w")})
    with pytest.raises(ConfigError, match="Workflows 'first' and 'second' have the same id 'w'"):
        mastra.add_workflow(flow("w"), "second")
    with pytest.raises(ConfigError, match="Workflows 'first' and 'w' have the same id 'w'"):
        mastra.add_workflow(flow("w"))
    again = flow("w")
    mastra.add_workflow(again, "first")
    assert list(mastra.list_workflows()) == ["first"]


def test_two_agents_of_one_id_are_refused_and_one_may_have_two_keys() -> None:
    one, other = (Agent(id="a", model=ScriptedModel("x")) for _ in range(2))
    mastra = Mastra(agents={"first": one, "second": one})
    with pytest.raises(ConfigError, match="Agents 'first' and 'third' have the same id 'a'"):
        mastra.add_agent(other, "third")
    with pytest.raises(ConfigError, match="Agents 'x' and 'y' have the same id 'a'"):
        Mastra(agents={"x": one, "y": other})
    replaced = Mastra(agents={"first": one})
    replaced.add_agent(other, "first")
    assert list(replaced.list_agents()) == ["first"]


@pytest.mark.parametrize("given", [7, "always", type(create_scorer(id="s", description=""))])
def test_what_is_no_scorer_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="Scorer"):
        Mastra().add_scorer(given, "always")


async def test_an_application_closes_its_agents_where_they_can_be_closed() -> None:
    closed: list[str] = []

    class Remote(Agent):
        async def aclose(self) -> None:
            closed.append(self.id)

    local = Agent(id="local", model=ScriptedModel())
    mastra = Mastra(agents=[local, Remote(id="remote", model=ScriptedModel())])
    await mastra.aclose()
    assert closed == ["remote"]


def test_contexts_are_compared_by_their_values() -> None:
    context = RequestContext({"a": 1})
    assert context == RequestContext({"a": 1})
    assert context == {"a": 1}
    assert context != RequestContext({"a": 2})
    assert context != {"a": 2}
    assert context != [("a", 1)]
    with pytest.raises(TypeError, match="unhashable"):
        hash(context)


def test_a_value_is_shown_short_whatever_it_is() -> None:
    class Broken(list[int]):
        def __repr__(self) -> str:
            raise LookupError

    assert shown(int) == "the class int"
    assert shown(object()) == "an object of class object"
    assert shown(Broken()) == "a Broken"
    assert shown("a" * 100) == "'" + "a" * 59 + "…"
    assert shown([1]) == "[1]"


def test_a_package_that_is_missing_is_told_with_its_extra_and_a_part_of_ours_is_not() -> None:
    with (
        pytest.raises(MissingDependencyError, match=r"A part needs the package 'nowhere', which"),
        needs("sql", "A part"),
    ):
        import nowhere.inside  # noqa: F401
    for own in ("mastra.nowhere", None):
        with pytest.raises(ModuleNotFoundError) as raised, needs("sql", "A part"):
            raise ModuleNotFoundError(name=own)
        assert not isinstance(raised.value, MissingDependencyError)


async def test_a_call_that_was_not_awaited_is_a_coroutine_that_says_so() -> None:
    mastra = Mastra(agents=[Agent(id="a", model=ScriptedModel("hi"))])
    call: Any = mastra.get_agent("a").generate("?")
    with pytest.raises(AttributeError, match=r"write `await …\.generate\(…\)`.* without 'text'"):
        _ = call.text
    assert inspect.iscoroutine(call)
    assert call.cr_frame is not None
    assert call.__qualname__.endswith("generate")
    assert (await call).text == "hi"


def test_what_python_refuses_for_other_reasons_is_said_in_its_own_words() -> None:
    with pytest.raises(TypeError, match=r"got multiple values for argument 'name'$"):
        Dataset("d", name="e")  # type: ignore[misc]


class Jumping(SystemClock):
    """The machine's clock, which somebody puts forward."""

    def __init__(self) -> None:
        self.moments = [0.0, 1.0, 100.0]

    def now(self) -> float:  # type: ignore[override]
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


async def test_a_sleep_until_a_moment_goes_by_the_clock_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mastra import clock

    jumping = Jumping()
    monkeypatch.setattr(clock, "_SYSTEM", jumping)
    monkeypatch.setattr(clock, "LOOK_S", 0.001)
    token = clock.current_clock.set(jumping)
    try:
        async with asyncio.timeout(5):
            await sleep_until(50)  # it would take most of a minute
            await sleep_until(50)  # it is over
            await SystemClock().sleep(0.004)
    finally:
        clock.current_clock.reset(token)
    with FakeClock(0.0) as fake:
        await sleep_until(3600)
        await sleep_until(10)
        assert fake.now() == 3600


class Noting(InMemoryStorage):
    """Notes how often it was closed."""

    closings = 0

    async def aclose(self) -> None:
        self.closings += 1
        await super().aclose()


async def test_an_application_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    own = create_workflow(
        id="w", input_schema=int, output_schema=int, cron="every day", input_data=1
    )
    own.map(lambda ctx: ctx.input_data).commit()
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    for storage in (Noting(), SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")):
        with pytest.raises(ConfigError, match="'every day' is no cron expression"):
            async with Mastra(workflows=[own], storage=storage):
                raise AssertionError("it is not open")
        assert asyncio.all_tasks() == before
        assert not isinstance(storage, Noting) or storage.closings == 1
        # What it was made of is not used up.
        async with Mastra(workflows=[flow("w")], storage=storage) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start(1)).unwrap() == 1
    own_threads = "asyncio_", "AnyIO"  # what loops keep for their next work
    async with asyncio.timeout(30):
        while any(
            not thread.name.startswith(own_threads) for thread in {*threading.enumerate()} - threads
        ):
            await asyncio.sleep(0.01)


async def test_a_part_that_fails_to_close_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(InProcessEngine):
        async def aclose(self) -> None:
            await super().aclose()
            raise RuntimeError("the engine's own")

    storage = Noting()
    closed = list[str]()

    class Remote:
        name = id = "remote"
        spec = Agent(id="a", model=ScriptedModel()).spec

        def bound_to(self, _: Any) -> Any:
            return self

        async def aclose(self) -> None:
            closed.append("agent")
            raise OSError("the network")

    mastra = Mastra(agents={"remote": Remote()}, engine=Failing(), storage=storage)  # type: ignore[dict-item]
    with pytest.raises(RuntimeError, match="the engine's own"):
        await mastra.aclose()
    assert "This failed, too: the network" in caplog.text
    assert (closed, storage.closings) == (["agent"], 1)
