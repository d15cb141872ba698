"""What somebody else wrote is text, and whoever may no longer call the API may no longer look."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.requests import Request

from mastra import Agent, Mastra, StepContext, create_step, create_workflow
from mastra.evals import Dataset
from mastra.memory import Memory
from mastra.observability import Observability
from mastra.server import ServerConfig
from mastra.server.auth import Caller, bearer_token
from mastra.testing import ScriptedModel, ToolCall, Turn
from tests.console.live import console
from tests.support.browser import Browser, browser

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(300)]

EVIL = (
    '"></script><script>window.hacked = 1</script>'
    "<img src=x onerror=\"window.hacked = 2\">'{{ constructor.constructor('window.hacked = 3')() }}"
)
MARKDOWN = f'{EVIL}\n\n[click](javascript:window.hacked=4) ![x](x"onerror="window.hacked=5)'


class Evil(BaseModel):
    """What is asked for."""

    text: str = Field(EVIL, description=EVIL, title=EVIL)


async def spread(ctx: StepContext[Any]) -> str:
    ctx.logger.warning(EVIL)
    await ctx.writer.write(EVIL)
    if ctx.input_data.text == "raise":
        raise ValueError(EVIL)
    if ctx.resume_data is None:
        await ctx.suspend({"question": EVIL})
    return EVIL


def evil_app() -> Mastra:
    step = create_step(
        id="evil-step", execute=spread, input_schema=Evil, output_schema=str, resume_schema=Evil
    )
    workflow = (
        create_workflow(id="evil", description=EVIL, input_schema=Evil, output_schema=Any)
        .branch(
            [(lambda ctx: ctx.input_data.text != '"]<img src=x onerror=window.hacked=6>', step)]
        )
        .commit()
    )
    says = Turn(MARKDOWN, reasoning=MARKDOWN, tool_calls=[ToolCall("none-such", {"x": EVIL})])
    agent = Agent(
        id="evil",
        name=EVIL,
        description=EVIL,
        instructions=EVIL,
        model=ScriptedModel(says, MARKDOWN),
        memory=Memory(),
    )
    observability = Observability(capture_content=True)
    return Mastra(workflows=[workflow], agents=[agent], observability=observability)


async def is_harmless(window: Browser, url: str, text: str = "window.hacked = 1") -> None:
    """See a page tell what was written, as text."""
    await window.open(url)
    await window.reads(text)
    await window.until("return window.did_handshake")
    assert await window.js("return window.hacked ?? null") is None, url
    assert await window.js("return document.querySelectorAll('[onerror]').length") == 0
    loaded = "[...document.images].filter(one => one.naturalWidth || !one.complete)"
    assert await window.js(f"return {loaded}.length") == 0, url
    if "/agents/evil?" not in url:  # Markdown may have pictures, which are not loaded
        assert await window.js("return document.images.length") == 0, url
    links = "[...document.links].map(one => one.protocol).filter(one => one !== 'http:')"
    assert await window.js(f"return {links}") == [], url


async def test_what_others_wrote_is_text() -> None:
    mastra = evil_app()
    async with console(mastra) as url, browser() as window:
        workflow = mastra.get_workflow("evil")
        for name, text in (("waits", "x"), ("fails", "raise"), (EVIL, "raise")):
            run = await workflow.create_run(name, resource_id=EVIL)
            await run.start({"text": text})
        # No id of a path may hold a slash.
        await Dataset(EVIL.replace("/", "-"), [{"input": EVIL, "ground_truth": EVIL}]).save(mastra)

        await window.open(f"{url}/agents/evil")
        await window.type("Message", EVIL)
        await window.click("button", "Send")
        await window.reads("tokens in")
        assert await window.js("return window.hacked ?? null") is None
        thread = await window.js("return document.querySelector('a.column').href")
        await is_harmless(window, thread)
        assert mastra.observability is not None
        await mastra.observability.flush()
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            spans = (await client.get("/api/observability/traces/light")).json()["spans"]
            [dataset] = (await client.get("/api/datasets")).json()["datasets"]
        pages = ("/workflows", "/workflows/evil", "/inbox", "/agents", "/agents/evil", "/runs")
        for page in (*pages, "/evals", f"/evals/datasets/{quote(dataset['id'], safe='')}"):
            await is_harmless(window, url + page)
        for name in ("waits", "fails"):
            await is_harmless(window, f"{url}/workflows/evil/runs/{name}")
        await is_harmless(window, f"{url}/workflows/evil/compare?left=waits&right=fails", "fails")
        for span in spans:
            await is_harmless(window, f"{url}/traces/{span['traceId']}", "evil")
        for path in ("/runs?search=", "/traces?search=", "/workflows/"):
            await is_harmless(window, url + path + quote(EVIL.replace("/", "-")), "Home")


class Doorkeeper:
    """Lets in whoever is on its list for as long as they are."""

    def __init__(self, **callers: str) -> None:
        self.callers = callers

    async def __call__(self, request: Request) -> Caller | None:
        token = bearer_token(request) or ""
        return Caller(self.callers[token], token=token) if token in self.callers else None


async def test_whoever_is_put_out_sees_and_does_nothing_more_in_a_page_that_is_open() -> None:
    mastra = evil_app()
    keeper = Doorkeeper(secret="ann")
    async with console(mastra, ServerConfig(auth=keeper)) as url, browser() as window:
        run = await mastra.get_workflow("evil").create_run("of-ann", resource_id="ann")
        await run.start({"text": "x"})
        await window.open(f"{url}/workflows/evil/runs/of-ann")
        await window.js("document.querySelector('input').value = 'secret'")
        await window.js("document.querySelector('button').click()")
        await window.reads("evil-step waits for an answer")
        await window.until("return window.did_handshake")

        keeper.callers.clear()
        await window.reads("Authentication required")  # the page asks how the run is
        await window.click("button", "ANSWER")
        await window.click("button", "Cancel")
        waits = await mastra.get_workflow("evil").get_run("of-ann")
        assert waits is not None
        assert waits.status == "suspended"
        await run.resume({"text": "after that"})
        assert "after that" not in await window.text()

        await window.open(f"{url}/workflows/evil/runs/of-ann")
        await window.reads("A token that the API takes")
        assert "evil" not in await window.text()
