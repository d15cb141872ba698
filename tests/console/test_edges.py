"""Where there is nothing, too much, or no server any more; and forms of every kind of field."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import date
from enum import StrEnum
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel, Field

from mastra import Mastra, StepContext, create_workflow, step
from tests.console.live import console
from tests.console.test_access import PAGES
from tests.support.browser import browser

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Address(BaseModel):
    street: str
    zip_code: str | None = None


class Everything(BaseModel):
    name: str = Field(description='Who it is "for"')
    colour: Colour = Colour.RED
    size: Literal["s", "m"] = "m"
    due: date
    count: int = Field(3, ge=0, le=10)
    ratio: float | None = None
    is_urgent: bool = False
    tags: list[str] = []
    where: Address
    others: list[Address] = []
    matrix: list[list[int]] = [[1]]


@step
async def take(ctx: StepContext[Everything]) -> dict[str, Any]:
    return ctx.input_data.model_dump(mode="json")


@step
async def repeat(n: int) -> str:
    return "x" * n


@step
async def nought(ctx: StepContext[Any]) -> int:
    return 0


@step
async def talk(ctx: StepContext[int]) -> int:
    for number in range(ctx.input_data):
        await ctx.writer.write(f"line {number}\n")
        await asyncio.sleep(0.05)
    return 0


def flow(name: str, takes: Any, of: Any) -> Any:
    return create_workflow(id=name, input_schema=takes, output_schema=Any).then(of).commit()


FLOWS = [
    flow("everything", Everything, take),
    flow("big", int, repeat),
    flow("nought", Any, nought),
    flow("talk", int, talk),
]


async def test_every_page_says_that_there_is_nothing() -> None:
    async with console(Mastra()) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            for page in (*PAGES, "/evals/datasets/d/compare", "/schedules/s"):
                answer = await client.get(page)
                assert answer.status_code == 200, f"{page}: {answer.text[:300]}"
                assert "Server error" not in answer.text, page


@pytest.mark.every_engine
async def test_forms_hold_every_kind_of_field_and_lose_nothing() -> None:
    async with console(Mastra(workflows=FLOWS)) as url, browser() as window:
        await window.open(f"{url}/workflows/everything")
        await window.reads('Who it is "for"')
        await window.click("button", "START")  # what the API refuses is told
        await window.reads("due: Input should be a valid date")

        await window.open(f"{url}/workflows/everything")
        await window.type("name *", "Ann")
        await window.type("due *", "01312026")
        await window.type("street *", "High St")
        await window.type("count", "7")
        await window.click(".q-toggle", "as JSON")
        area = "document.querySelector('textarea')"
        text = await window.until(f"return {area}?.value")
        typed = json.loads(text)
        assert typed["where"] == {"street": "High St"}
        assert (typed["due"], typed["count"], typed["matrix"]) == ("2026-01-31", 7, [[1]])

        await window.type("Everything (JSON)", "{")
        await window.click(".q-toggle", "as JSON")
        await window.reads("Everything is not JSON")
        assert await window.js(f"return {area}.value") == "{"

        typed |= {"others": [{"street": "Low St"}], "matrix": [[1, 2], []]}
        await window.type("Everything (JSON)", json.dumps(typed))
        await window.until(f"return {area}.value === arguments[0]", json.dumps(typed))
        await window.click("button", "START")
        await window.reads('"street": "Low St"')
        await window.reads("take: ✓ success")


@pytest.mark.every_engine
async def test_what_is_nought_or_huge_is_shown_and_a_server_that_is_gone_is_told_of() -> None:
    async with AsyncExitStack() as stack, browser() as window:
        url = await stack.enter_async_context(console(Mastra(workflows=FLOWS)))
        await window.open(f"{url}/workflows/nought")
        await window.click("button", "START")
        await window.reads("Result\n0")

        await window.open(f"{url}/workflows/big")
        await window.type("Value *", "5000000")
        await window.click("button", "START")
        await window.reads("… 5000002 characters in all")
        assert len(await window.text()) < 500_000

        await window.open(f"{url}/workflows/talk")
        await window.type("Value *", "100")
        await window.click("button", "START")
        await window.reads("line 3")
        stopping = asyncio.ensure_future(stack.aclose())
        await window.reads("Connection lost.")
        assert "line 3" in await window.text()
        await stopping


TAB = "\ue004"
ACTS = """
return [...document.querySelectorAll('button, a[href], input, textarea, [role=switch], [role=checkbox]')]
  .filter(one => one.offsetParent !== null && one.tabIndex >= 0).length
"""
FOCUSED = """
const one = document.activeElement;
if (one === null || one === document.body) return null;
const style = getComputedStyle(one), field = one.closest('.q-field--focused');
const told = one.getAttribute('aria-label') || one.innerText || one.closest('label')?.innerText || '';
return [one.outerHTML.slice(0, 120), style.outlineStyle !== 'none' || field !== null, told.trim()];
"""


@pytest.mark.every_engine
async def test_every_action_is_reached_by_keyboard_with_its_name_and_seen_to_be() -> None:
    async with console(Mastra(workflows=FLOWS)) as url, browser() as window:
        run = await window_of_a_run(url)
        for page in ("/", "/workflows", "/workflows/nought", run, "/inbox", "/runs", "/traces"):
            await window.open(url + page)
            await window.until("return window.did_handshake")
            await window.until("return document.querySelector('.q-spinner') === null")
            wanted = await window.js(ACTS)
            reached: list[Any] = []
            for _ in range(3 * wanted):
                await window.press(TAB)
                reached.append(await window.js(FOCUSED))
                if reached[-1] is None:
                    break
            seen = [one for one in reached if one is not None]
            assert len(seen) >= wanted, page
            assert [one for one in seen if not one[1] or not one[2]] == [], page
        await window.open(url + run)
        await window.reads("nought: ✓ success")
        await window.press("g", "w")
        await window.reads("What it is for")
        assert await window.address() == f"{url}/workflows"


async def window_of_a_run(url: str) -> str:
    """Run something; return where its page is."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        answer = await client.post("/api/workflows/nought/start-async?runId=r", json={})
        answer.raise_for_status()
    return "/workflows/nought/runs/r"
