"""The console as a person uses it, in a headless browser, on the reference app."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.console import app
from tests.console.live import console
from tests.support.browser import Browser, browser

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(300)]

WRITTEN = """return document.querySelector('[aria-label="Written by the step"]').textContent"""


async def plan(window: Browser, gate: asyncio.Event, url: str, city: str, step: str) -> None:
    """Start the planner and see its plan grow in the step that is at work."""
    gate.clear()
    await window.open(f"{url}/workflows/activityPlanningWorkflow")
    await window.type("city *", city)
    await window.click("button", "START")
    await window.reads(f"{step}: ▶ running")
    await window.until(f"{WRITTEN}.endsWith('- a walk\\n')")
    gate.set()
    await window.until(f"{WRITTEN}.includes('AFTERNOON 49')")
    await window.reads(f"{step}\n✓ success")  # in the graph
    await window.reads("Result")


def line_of(text: str) -> int:
    """Return where a text is in the application's file."""
    lines = Path(app.__file__).read_text().splitlines()
    return next(place for place, line in enumerate(lines, 1) if text in line)


async def test_a_person_runs_answers_finds_and_goes_back() -> None:
    gate = asyncio.Event()
    async with console(app.build(gate)) as url, browser() as window:
        await window.open(f"{url}/workflows")
        await window.reads("Plans a day in a city to fit the weather")

        await plan(window, gate, url, "Seattle", "plan-indoor-activities")
        await plan(window, gate, url, "New York", "plan-activities")

        # A run suspends, and somebody says yes from the inbox.
        await window.open(f"{url}/workflows/orders")
        await window.type("customer *", "Ann")
        await window.type("amount", "300")
        await window.click("button", "START")
        await window.reads("ask_boss waits for an answer")
        run = await window.address()
        await window.open(f"{url}/inbox")
        await window.reads("May Ann spend 300?")
        await window.type("reason", "she is nice")
        await window.click("button", "APPROVE")
        await window.reads("Nothing waits.")

        # The step after it fails, and the page says where.
        await window.open(run)
        await window.reads("ValueError: 300 is too much")
        await window.reads(f"tests/console/app.py:{line_of('raise ValueError')} in bill")

        # Back in time with another input.
        await window.click("button", "Run again from here …")
        await window.click(".q-toggle", "with another input")
        await window.type("amount", "30")
        await window.click("button", "RUN AGAIN")
        await window.reads("billed 30")

        # An agent's tool asks in the chat.
        await window.open(f"{url}/agents/payer")
        await window.type("Message", "Pay Ann")
        await window.click("button", "Send")
        await window.reads("pay waits for an answer")
        assert (
            await window.js("return document.querySelector('.nicegui-markdown strong').innerText")
            == "see"
        )
        await window.click("button", "APPROVE")
        await window.reads("Ann has 3 now.")
        await window.reads("20 tokens in")

        assert await window.log() == []
