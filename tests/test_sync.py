"""Scripts without an event loop, and notebooks with one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, AgentStream, Mastra, SQLStorage, StepContext, create_workflow, step
from mastra.agents.sync_stream import AgentSyncStream
from mastra.errors import ConfigError, ModelError
from mastra.testing import ScriptedModel, Turn, model_failure


class Plan(BaseModel):
    place: str


@step
def ask(ctx: StepContext[int]) -> int:
    if ctx.resume_data is None:
        ctx.suspend({"question": "how many?"})
    return ctx.input_data * ctx.resume_data


def workflow() -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=int).then(ask).commit()


ONLY_AWAITED = {"aclose", "batches", "consume", "pipe_to", "taken"}


def test_a_stream_has_all_that_the_awaited_one_has() -> None:
    names = {name for name in dir(AgentStream) if not name.startswith("_")} - ONLY_AWAITED
    assert names - set(dir(AgentSyncStream)) == set()


def test_what_a_stream_has_is_given_without_awaiting_it() -> None:
    agent = Agent(id="a", model=ScriptedModel(Turn(["hello ", "there"], reasoning="politely")))
    with agent.stream_sync("q") as stream:
        result = stream.result()
        for name in ("text", "reasoning", "tool_calls", "tool_results", "steps", "messages"):
            shown = "reasoning_text" if name == "reasoning" else name
            assert getattr(stream, name)() == getattr(result, shown), name
        assert stream.usage() == stream.total_usage() == result.usage
        assert (stream.cost_usd(), stream.suspend_payload(), stream.object()) == (None, None, None)
        assert (stream.error, stream.tripwire, stream.used_fallback_value) == (None, None, False)
        assert stream.message_id == result.messages[-1].id
        assert [step.reasoning for step in stream.steps()] == ["politely"]


def test_elements_of_a_list_come_one_by_one() -> None:
    places = [Plan(place="Porto"), Plan(place="Braga")]
    agent = Agent(id="a", model=ScriptedModel('[{"place": "Porto"}, {"place": "Braga"}]'))
    assert [*agent.stream_sync("q", structured_output=list[Plan]).element_stream] == places


def test_an_agent_answers() -> None:
    agent = Agent(id="a", model=ScriptedModel("hello there", '{"place": "Porto"}'))
    assert agent.generate_sync("q").text == "hello there"
    assert agent.generate_sync("q", structured_output=Plan).object == Plan(place="Porto")


def test_an_agent_streams() -> None:
    agent = Agent(id="a", model=ScriptedModel([["one ", "two"]]))
    with agent.stream_sync("q") as stream:
        assert list(stream.text_stream) == ["one ", "two"]
        assert stream.text() == "one two"
        assert (stream.finish_reason(), stream.status) == ("stop", "success")
    assert [chunk.type for chunk in stream][-1] == "finish"


def test_a_stream_that_is_left_ends_the_answer() -> None:
    agent = Agent(id="a", model=ScriptedModel([["one ", "two"]]))
    with agent.stream_sync("q") as stream:
        next(stream.text_stream)
    assert stream.status == "canceled"


def test_what_fails_is_raised() -> None:
    agent = Agent(id="a", model=ScriptedModel(model_failure("overheated")))
    with pytest.raises(ModelError, match="overheated"):
        agent.generate_sync("q")


def test_a_run_starts_and_is_resumed() -> None:
    run = workflow().create_run_sync()
    assert run.start_sync(6).status == "suspended"
    assert run.resume_sync(7).result == 42


def test_each_thread_has_a_loop() -> None:
    results: list[Any] = []

    def work() -> None:
        run = workflow().create_run_sync()
        run.start_sync(2)
        results.append(run.resume_sync(len(results)).status)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["success"] * 4


@pytest.mark.parametrize("kept", ["memory", "sqlite"])
def test_one_run_is_started_and_waited_for_by_several_threads(kept: str, tmp_path: Path) -> None:
    storage: Any = SQLStorage(f"sqlite:///{tmp_path}/runs.db") if kept == "sqlite" else None
    begun, let_on = threading.Event(), threading.Event()
    calls, statuses = list[int](), list[Any]()

    @step
    def hold(value: int) -> int:
        calls.append(value)
        begun.set()
        let_on.wait(20)
        return value

    held = create_workflow(id="w", input_schema=int, output_schema=int).then(hold).commit()
    mastra = Mastra(workflows=[held], storage=storage)
    run = held.create_run_sync()

    def start() -> None:
        statuses.append(run.start_sync(5).unwrap())

    def look() -> None:
        statuses.append(asyncio.run(run.result()).unwrap())

    def read() -> None:
        async def last() -> Any:
            return [event async for event in run.stream(5)][-1].type

        statuses.append(asyncio.run(last()))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    threads += [threading.Thread(target=one) for one in (look, read, start)]
    for thread in threads[4:]:
        thread.start()
    let_on.set()
    for thread in threads:
        thread.join(25)
    assert sorted(map(str, statuses)) == ["5"] * 6 + ["workflow-finish"]
    assert calls == [5]
    asyncio.run(mastra.aclose())


async def test_where_a_loop_runs_one_is_told_to_await() -> None:
    agent = Agent(id="a", model=ScriptedModel("kept"))
    run = await workflow().create_run()
    with pytest.raises(ConfigError, match=r"Write: await ….generate"):
        agent.generate_sync("q")
    with pytest.raises(ConfigError, match=r"Write: await ….start"):
        run.start_sync(1)
    with pytest.raises(ConfigError, match="stream_sync"):
        agent.stream_sync("q").text()
    assert (await agent.generate("q")).text == "kept"
    # In a thread of its own there is none.
    assert (await asyncio.to_thread(workflow().create_run_sync)).run_id


def test_a_script_ends_without_a_warning(tmp_path: Path) -> None:
    script = (
        "from mastra import Agent\nfrom mastra.testing import ScriptedModel\n"
        "agent = Agent(id='a', model=ScriptedModel('hi', 'left'))\n"
        "print(agent.generate_sync('q').text)\n"
        "next(agent.stream_sync('q').text_stream)\n"
        # Python 3.12 starts no thread at the end, not even to wait for those of a loop.
        "import asyncio\nfrom mastra import create_workflow, step\n"
        "@step\nasync def away() -> int:\n    return await asyncio.to_thread(int, 7)\n"
        "flow = create_workflow(id='w', input_schema=None, output_schema=int).then(away).commit()\n"
        "print(flow.create_run_sync().start_sync().unwrap())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    # Of a slow machine asyncio's mode for developers tells, too.
    told = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.stdout, told) == ("hi\n7\n", [])


@pytest.mark.every_engine
def test_a_notebook_awaits_and_draws(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    cells = [
        "from mastra import Agent, create_workflow, step\n"
        "from mastra.testing import ScriptedModel\n"
        "@step\n"
        "async def double(n: int) -> int:\n"
        "    return 2 * n\n"
        "workflow = create_workflow(id='w', input_schema=int, output_schema=int)\n"
        "workflow.then(double).commit()",
        "await (await workflow.create_run()).start(4)",
        "await Agent(id='a', model=ScriptedModel('# Porto')).generate('q')",
        "Agent(id='a', model=ScriptedModel('x')).generate_sync('q')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    client.NotebookClient(
        notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    drawn, ran, said, refused = (cell.outputs[-1] for cell in notebook.cells)
    assert drawn.data["text/vnd.mermaid"].startswith("flowchart TD")
    assert "| `double` | success |" in ran.data["text/markdown"]
    assert said.data["text/markdown"] == "# Porto"
    assert (refused.ename, "await" in refused.evalue) == ("ConfigError", True)
