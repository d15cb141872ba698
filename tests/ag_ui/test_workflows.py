"""Workflows for pages of AG-UI: steps, state, waits."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, StepContext, create_step, create_workflow
from mastra.ag_ui import ag_ui_route
from mastra.errors import StorageError
from mastra.server import ServerConfig
from mastra.testing import ScriptedModel, ToolCall, Turn
from tests.ag_ui.wire import Page, asking
from tests.ai_sdk.app import Deeds, nap, step

pytestmark = pytest.mark.anyio
OSLO = {"inputData": {"city": "Oslo"}}


async def test_a_run_with_a_question(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    steps = [event["stepName"] for event in page.of("STEP_STARTED")]
    assert steps == ["look", "count", "sure"]
    assert page.of("CUSTOM") == [{"type": "CUSTOM", "name": "data-found", "value": {"n": 1}}]
    assert page.state == {"count": 1}
    assert page.of("STATE_SNAPSHOT")[0]["snapshot"] == {}
    (one,) = ended["outcome"]["interrupts"]
    assert (one["reason"], one["message"]) == ("input_required", "Go on?")
    assert one["responseSchema"]["required"] == ["sure"]
    for resume, code in (
        (None, "OPEN_INTERRUPTS"),
        ([{"interruptId": one["id"], "status": "resolved", "payload": {}}], "INVALID_ANSWER"),
        (
            [{"interruptId": one["id"], "status": "resolved", "payload": {"sure": "true"}}],
            "INVALID_ANSWER",
        ),
        ([{"interruptId": "x", "status": "resolved"}], "UNKNOWN_INTERRUPT"),
    ):
        refused = await page.send(resume=resume, forwardedProps=OSLO)
        assert (refused["type"], refused["code"]) == ("RUN_ERROR", code)
    stranger = Page(http, "workflows/trip", f"{thread}-2")
    assert (await stranger.answer(ended, {"sure": True}))["code"] == "UNKNOWN_INTERRUPT"
    done = await page.answer(ended, {"sure": True})
    assert done["outcome"] == {"type": "success"}
    assert done["result"] == {"city": "Oslo", "sure": True}
    assert [event["stepName"] for event in page.of("STEP_STARTED")] == ["sure"]
    assert (await page.answer(ended, {"sure": True}))["type"] == "RUN_FINISHED"
    assert (await page.answer(ended, {"sure": False}))["code"] == "INTERRUPT_ANSWERED"


async def test_state_goes_on_in_the_next_run(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.ask('{"city": "Rome"}')
    done = await page.answer(ended, {"sure": True})
    assert done["result"]["city"] == "Rome"
    await page.ask('{"city": "Rome"}')
    assert page.state == {"count": 2}
    (change,) = [event["delta"] for event in page.of("STATE_DELTA")]
    assert change == [{"op": "replace", "path": "/count", "value": 2}]


async def test_steps_that_wait_together_are_answered_together(
    http: httpx.AsyncClient, thread: str
) -> None:
    page = Page(http, "workflows/both", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert len(ended["outcome"]["interrupts"]) == 2
    done = await page.answer(ended, {"sure": 1}, {"sure": 2})
    assert done["result"] == {"a": {"city": "Oslo", "sure": 1}, "b": {"city": "Oslo", "sure": 2}}


async def test_a_run_that_is_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    (one,) = ended["outcome"]["interrupts"]
    done = await page.send(resume=[{"interruptId": one["id"], "status": "cancelled"}])
    assert done["outcome"] == {"type": "cancelled"}
    ended = await page.send(forwardedProps=OSLO)
    assert ended["outcome"]["type"] == "interrupt"


async def test_a_run_that_fails(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/failing", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert (ended["type"], ended["message"]) == ("RUN_ERROR", "the step is out of order")


async def test_what_agents_of_a_steps_agent_have_used_counts(thread: str) -> None:
    third = Agent(id="third", model=ScriptedModel("Three."))
    second = Agent(
        id="second",
        model=ScriptedModel(ToolCall("agent-third", {"prompt": "?"}), "Two."),
        agents={"third": third},
    )
    model = ScriptedModel(ToolCall("agent-second", {"prompt": "?"}), "One.")
    first = Agent(id="first", model=model, agents={"second": second})
    flow: Any = create_workflow(id="w", **ANY)
    flow = flow.map(lambda ctx: {"prompt": "?"}).then(first.as_step())
    _, ended = await run_of(flow, thread)
    assert [one["inputTokens"] for one in ended["usage"]] == [50]


async def test_what_an_agent_says_in_a_step(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/telling", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert page.text == "You said: Oslo"
    assert ended["usage"][0]["outputTokens"] == 5
    assert ended["result"] == {"said": "You said: Oslo"}
    assert page.messages[-1]["content"] == "You said: Oslo"


async def test_of_two_windows_one_wins(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    ends = await asyncio.gather(
        *(
            Page(http, "workflows/trip", thread).answer(ended, {"sure": sure})
            for sure in (True, False)
        )
    )
    kinds = sorted(one["type"] for one in ends)
    assert kinds == ["RUN_ERROR", "RUN_FINISHED"]


@pytest.mark.parametrize("body", [{}, {"forwardedProps": {"inputData": 3}}])
async def test_input_that_does_not_fit_is_refused(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, body: dict[str, Any]
) -> None:
    page = Page(http, "workflows/trip", thread)
    assert (await page.post(**body)).status_code == 400


# -- what steps do ---------------------------------------------------------------------------------

ROUTES = [ag_ui_route("/ag-ui/{workflow_id}")]
ANY: dict[str, Any] = {"input_schema": dict[str, Any], "output_schema": Any}


async def run_of(made: Any, thread: str, **parts: Any) -> tuple[Page, dict[str, Any]]:
    """Run a workflow for a page; return the page, and how the run ended."""
    flow = made.commit()
    mastra = Mastra(workflows={"w": flow}, server=ServerConfig(api_routes=ROUTES), **parts)
    async with asking(mastra) as http:
        page = Page(http, "w", thread)
        return page, await page.send(forwardedProps={"inputData": {"city": "Oslo"}})


async def test_what_a_step_writes(thread: str) -> None:
    async def write(ctx: StepContext[Any]) -> dict[str, Any]:
        await ctx.writer.write("a word")
        await ctx.writer.write({"type": "data-own", "id": "x", "data": {"n": 1}})
        await ctx.writer.write({"type": "text-delta", "n": 2})
        return {}

    flow: Any = create_workflow(id="w", **ANY)
    page, _ = await run_of(flow.then(step("write", write)), thread)
    assert [one["value"] for one in page.of("CUSTOM")] == [
        {"stepId": "write", "output": output}
        for output in ("a word", {"type": "text-delta", "n": 2})
    ]
    [own] = page.of("ACTIVITY_SNAPSHOT")
    assert (own["messageId"], own["content"]) == ("x", {"n": 1})


async def test_steps_that_run_at_once_are_told_apart(thread: str) -> None:
    both = asyncio.Barrier(2)

    async def meet(ctx: StepContext[Any]) -> dict[str, Any]:
        await both.wait()
        return {}

    async def cities(ctx: StepContext[Any]) -> list[Any]:
        return [{"n": 1}, {"n": 2}]

    listing = create_step(id="cities", input_schema=Any, output_schema=list[Any], execute=cities)
    inner: Any = create_workflow(id="inner", **ANY)
    inner = inner.then(step("meet", meet)).commit()
    flow: Any = create_workflow(id="w", **ANY)
    page, ended = await run_of(
        flow.then(listing).foreach(inner, concurrency=2).sleep(0.001), thread
    )
    assert ended["result"] == [{}, {}]
    told = ["cities", "inner", "inner[0].meet", "inner[1].meet"]
    for kind in ("STEP_STARTED", "STEP_FINISHED"):
        assert sorted(one["stepName"] for one in page.of(kind)) == told


async def test_a_storage_that_fails_in_the_middle_ends_the_run(
    thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more can be told of the steps that ran then."""

    async def out_of_order(*_: Any, **__: Any) -> Any:
        raise StorageError("the disk is out of order")

    async def spoil(ctx: StepContext[Any]) -> dict[str, Any]:
        monkeypatch.setattr(ctx.mastra.storage.workflows, "append", out_of_order)
        return {}

    flow: Any = create_workflow(id="w", **ANY)
    page, ended = await run_of(flow.parallel([step("nap", nap), step("spoil", spoil)]), thread)
    assert (ended["type"], ended["code"]) == ("RUN_ERROR", "STORAGE_ERROR")
    assert ended["message"] == "The storage cannot be used at the moment."
    assert "nap" in [one["stepName"] for one in page.of("STEP_FINISHED")]


async def test_an_agent_that_fails_in_a_step_does_not_end_the_run(thread: str) -> None:
    half = Turn("Half an ", error=RuntimeError("the model is out of order"))

    async def tell(ctx: StepContext[Any]) -> dict[str, Any]:
        async with ctx.mastra.get_agent("a").stream("go") as stream:
            await stream.pipe_to(ctx.writer)
        return {"went": "on"}

    flow: Any = create_workflow(id="w", **ANY)
    failing = Agent(id="a", model=ScriptedModel(half))
    page, ended = await run_of(flow.then(step("tell", tell)), thread, agents={"a": failing})
    assert (ended["type"], ended.get("result")) == ("RUN_FINISHED", {"went": "on"})
    assert page.text == "Half an "


async def test_a_question_may_be_a_text(thread: str) -> None:
    async def ask(ctx: StepContext[Any]) -> Any:
        return await ctx.suspend("Go on?")

    flow: Any = create_workflow(id="w", **ANY)
    _, ended = await run_of(flow.then(step("ask", ask)), thread)
    [one] = ended["outcome"]["interrupts"]
    assert (one["message"], one["metadata"]["suspendPayload"]) == ("Go on?", "Go on?")


async def test_words_that_are_no_input_are_refused(thread: str) -> None:
    flow: Any = create_workflow(id="w", input_schema=int, output_schema=Any)
    one = create_step(id="one", input_schema=int, output_schema=Any, execute=double)
    flow = flow.then(one).commit()
    server = ServerConfig(api_routes=ROUTES)
    async with asking(Mastra(workflows={"w": flow}, server=server)) as http:
        page = Page(http, "w", thread)
        assert (await page.ask("21"))["result"] == 42
        page.messages.append({"id": "u", "role": "user", "content": "a city"})
        assert (await page.post()).status_code == 400


async def double(ctx: StepContext[Any]) -> int:
    return ctx.input_data * 2


async def test_of_answers_to_one_run_none_follows_one_that_fails(
    http: httpx.AsyncClient, thread: str
) -> None:
    page = Page(http, "workflows/both", thread)
    ended = await page.send(forwardedProps=OSLO)
    failed = await page.answer(ended, {}, {"sure": 2})
    assert (failed["type"], "sure" in failed["message"]) == ("RUN_ERROR", True)
    assert page.of("STEP_STARTED") == [{"type": "STEP_STARTED", "stepName": "a"}]


@pytest.mark.parametrize(("version", "outcome"), [("1.0", {"type": "cancelled"}), ("0.9", None)])
async def test_a_run_that_somebody_else_cancels(
    http: httpx.AsyncClient, thread: str, version: str, outcome: Any
) -> None:
    page = Page(http, "workflows/sleepy", thread)
    sent = asyncio.ensure_future(page.send(forwardedProps=OSLO, protocolVersion=version))
    runs: list[Any] = []
    async with asyncio.timeout(10):
        while not runs:
            await asyncio.sleep(0.001)
            found = await http.get("/api/workflows/sleepy/runs", params={"status": "running"})
            runs = [one for one in found.json()["runs"] if "nap" in str(one)]
    run_id = runs[0]["runId"]
    await http.post(f"/api/workflows/sleepy/runs/{run_id}/cancel")
    ended = await sent
    assert (ended["type"], ended.get("outcome")) == ("RUN_FINISHED", outcome)
    assert [one["stepName"] for one in page.of("STEP_FINISHED")] == ["look", "nap"]


# -- several runs of one thread --------------------------------------------------------------------


async def two_runs(http: httpx.AsyncClient, thread: str, path: str) -> tuple[Page, list[str]]:
    """Two windows begin at once; return one of them, and all interrupts that are open then."""
    pages = [Page(http, path, thread) for _ in range(2)]
    await asyncio.gather(*(page.send(forwardedProps=OSLO) for page in pages))
    refused = await pages[0].send(forwardedProps=OSLO)
    assert refused["code"] == "OPEN_INTERRUPTS"
    return pages[0], refused["message"].split("'")[1::2]


def resolved(interrupt_id: str, payload: Any) -> dict[str, Any]:
    return {"interruptId": interrupt_id, "status": "resolved", "payload": payload}


async def test_runs_that_two_windows_began_are_answered_together(
    http: httpx.AsyncClient, thread: str
) -> None:
    page, (first, second) = await two_runs(http, thread, "workflows/trip")
    resume = [resolved(first, {"sure": True}), resolved(second, {"sure": False})]
    done = await page.send(resume=resume)
    assert (done["outcome"], done["result"]["sure"]) == ({"type": "success"}, False)
    assert [one["stepName"] for one in page.of("STEP_FINISHED")] == ["sure", "sure"]
    again = await page.send(forwardedProps=OSLO)
    assert again["outcome"]["type"] == "interrupt"


async def test_of_several_runs_one_may_be_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    page, (first, second) = await two_runs(http, thread, "workflows/trip")
    resume = [{"interruptId": first, "status": "cancelled"}, resolved(second, {"sure": True})]
    done = await page.send(resume=resume)
    assert done["result"] == {"city": "Oslo", "sure": True}
    gone = await http.get(f"/api/workflows/trip/runs/{first.partition('::')[0]}")
    assert gone.json()["status"] == "canceled"


async def test_a_run_that_fails_leaves_the_others_waiting(
    http: httpx.AsyncClient, thread: str
) -> None:
    page, named = await two_runs(http, thread, "workflows/both")
    assert len(named) == 4
    failed = await page.send(resume=[resolved(one, {}) for one in named])
    assert failed["type"] == "RUN_ERROR"
    refused = await page.send(forwardedProps=OSLO)
    left = refused["message"].split("'")[1::2]
    assert {one.partition("::")[0] for one in left} == {named[2].partition("::")[0]}
    done = await page.send(resume=[resolved(one, {"sure": True}) for one in left])
    assert done["type"] == "RUN_FINISHED"


async def test_of_several_runs_one_may_ask_again(thread: str) -> None:
    async def twice(ctx: StepContext[Any]) -> Any:
        if ctx.resume_data != "enough":
            return await ctx.suspend("Enough?")
        return {}

    made: Any = create_workflow(id="w", **ANY)
    mastra = Mastra(
        workflows={"w": made.then(step("twice", twice)).commit()},
        server=ServerConfig(api_routes=ROUTES),
    )
    async with asking(mastra) as http:
        page, (first, second) = await two_runs(http, thread, "w")
        ended = await page.send(resume=[resolved(first, "more"), resolved(second, "enough")])
        [one] = ended["outcome"]["interrupts"]
        assert one["id"].startswith(first)
        done = await page.answer(ended, "enough")
        assert done["outcome"] == {"type": "success"}
