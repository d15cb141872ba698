"""The console as a person uses it, in a headless browser, on the reference app."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.demo import DEMO_MODEL
from tests.console import app
from tests.console.live import console
from tests.support.browser import Browser, browser

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(400)]

WRITTEN = """return document.querySelector('[aria-label="Written by the step"]').textContent"""
CITIES = {"Seattle": "plan-indoor-activities", "New York": "plan-activities"}
"""What plans a day in a wet city, and in a dry one."""


async def begin_plan(window: Browser, url: str, city: str) -> None:
    """Start the planner, and come to the page of its run."""
    await window.open(f"{url}/workflows/activityPlanningWorkflow")
    await window.type("city *", city)
    await window.click("button", "START")
    await window.reads(f"{CITIES[city]}: ▶ running")


def line_of(text: str) -> int:
    """Return where a text is in the application's file."""
    lines = Path(app.__file__).read_text().splitlines()
    return next(place for place, line in enumerate(lines, 1) if text in line)


async def answer_and_go_back(window: Browser, url: str) -> None:
    """Say yes from the inbox, find what failed then and where, and run it again with less."""
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

    await window.open(run)
    await window.reads("ValueError: 300 is too much")
    await window.reads(f"tests/console/app.py:{line_of('raise ValueError')} in bill")

    await window.click("button", "Run again from here …")
    await window.click(".q-toggle", "with another input")
    await window.type("amount", "30")
    await window.click("button", "RUN AGAIN")
    await window.reads("billed 30")


async def approve_a_tool(window: Browser, url: str) -> None:
    """Let an agent pay, in the chat."""
    await window.open(f"{url}/agents/payer")
    await window.type("Message", "Pay Ann")
    await window.click("button", "Send")
    await window.reads("pay waits for an answer")
    bold = "return document.querySelector('.nicegui-markdown strong').innerText"
    assert await window.js(bold) == "see"
    await window.click("button", "APPROVE")
    await window.reads("Ann has 3 now.")
    await window.reads("20 tokens in")
    await window.reads("cost unknown")


async def compare_the_plans(window: Browser, url: str) -> None:
    """Put the runs of both cities side by side."""
    await window.open(f"{url}/workflows/activityPlanningWorkflow")
    await window.reads("Latest runs (2 in all)")
    boxes = "document.querySelectorAll('tbody .q-checkbox')"
    await window.until(f"return window.did_handshake && {boxes}.length === 2")
    await window.js(f"{boxes}.forEach(box => box.click())")
    await window.click("button", "Compare two")
    await window.reads("Two runs of activityPlanningWorkflow")
    await window.reads("≠ different: fetch-weather")
    await window.reads("≠ different: plan-indoor-activities")
    await window.reads("• not run")


async def see_what_is_due(window: Browser, url: str) -> None:
    """Run a schedule now, pause it, and come to its run."""
    await window.open(f"{url}/schedules")
    await window.reads("0 7 * * MON-FRI")
    await window.click("a.mono", "report")
    await window.reads("Schedule of report")
    await window.click("button", "Run now")
    await window.reads("by hand")
    await window.reads("✓ success")
    await window.click("button", "Pause")
    await window.reads("‖ paused")
    await window.click("button", "Resume")
    await window.reads("✓ active")
    await window.js("document.querySelector('tbody a').click()")
    await window.reads("1 of 1")
    await window.reads("manual_wf_report")


async def begin_an_experiment(window: Browser, url: str, name: str, *scorers: str) -> None:
    """Run reports on the dataset, and see how far that is until it is done."""
    await window.open(f"{url}/evals/datasets/cities")
    for label, choices in (("Run on it", ("workflow report",)), ("Scored by", scorers)):
        await window.click(f'[aria-label="{label}"]')
        for choice in choices:
            await window.click(".q-item__label", choice)
        await window.click("h1, [aria-level='1']")
    await window.type("Name of the experiment", name)
    await window.click("button", "START")
    await window.reads("✓ completed: 4 of 4 items succeeded, 0 failed")
    await window.reads("exact: 0.75 on average")


async def score_and_compare(window: Browser, url: str) -> None:
    """Run two experiments, and put them side by side."""
    for name in ("before", "after"):
        await begin_an_experiment(window, url, name, "exact")
    await window.open(f"{url}/evals/datasets/cities")
    boxes = "document.querySelectorAll('tbody .q-checkbox')"
    await window.until(f"return window.did_handshake && {boxes}.length === 2")
    await window.js(f"{boxes}.forEach(box => box.click())")
    await window.click("button", "Compare two")
    await window.reads("exact: 0.75 → 0.75 on average, ▲ 0 better, ▼ 0 worse")
    await window.reads("= 0 → 0")


async def look_around(window: Browser, url: str, model: str) -> None:
    """See runs, traces with their prompts, and what all of it took."""
    await window.open(f"{url}/runs")
    await window.type("Id of a run, or resource", "nobody's")
    await window.reads("orders")
    await window.open(f"{url}/traces?search=activity-planning-workflow")
    await window.click("a.mono", "workflow run: 'activity-planning-workflow'")
    await window.reads("agent run: 'planning-agent'")
    await window.click("button .q-ml-none, button div", f"✓ llm: '{model}'")
    await window.reads("gen_ai.usage.output_tokens")
    await window.open(f"{url}/")
    await window.reads("waiting for somebody")
    # Runs, times and tokens, each in words too.
    plots = """[...document.querySelectorAll('canvas')].map(one => one.closest('[aria-label]'))"""
    await window.until(f"return {plots}.filter(one => one !== null).length === 3")
    await window.reads(f"unknown for models without a known price: {model}")


async def test_a_person_walks_through_all_of_it() -> None:
    gate = asyncio.Event()
    mastra = app.build(gate)
    async with console(mastra) as url, browser() as window:
        await app.cities.save(mastra)
        await window.open(f"{url}/workflows")
        await window.reads("Plans a day in a city to fit the weather")
        for city, step in CITIES.items():
            gate.clear()
            await begin_plan(window, url, city)
            await window.until(f"{WRITTEN}.endsWith('- a walk\\n')")
            gate.set()
            await window.until(f"{WRITTEN}.includes('AFTERNOON 49')")
            await window.reads(f"{step}\n✓ success")  # in the graph
            await window.reads("Result")
        await compare_the_plans(window, url)
        await answer_and_go_back(window, url)
        await approve_a_tool(window, url)
        await see_what_is_due(window, url)
        await score_and_compare(window, url)
        await look_around(window, url, "function/model")
        assert await window.log() == []


@pytest.mark.xdist_group("embedded-model")
async def test_the_embedded_model_s_plans_grow_in_the_step_that_makes_them() -> None:
    mastra = app.build(asyncio.Event(), DEMO_MODEL)
    async with console(mastra) as url, browser() as window:
        for city, step in CITIES.items():
            await begin_plan(window, url, city)
            seen = {0}
            while f"{step}: ✓ success" not in await window.text():
                written = await window.js(f"{WRITTEN}.length")
                if f"{step}: ▶ running" in await window.text():
                    seen.add(written)
            assert len(seen) > 5, "the plan was not seen to grow while its step was at work"
            plan = await window.js(WRITTEN)
            assert plan.startswith("📅 ")
            assert "🌅 MORNING ACTIVITIES" in plan
            assert await window.js(f"{WRITTEN}.length") >= max(seen)
            await window.reads("Result")
        await compare_the_plans(window, url)
        await answer_and_go_back(window, url)
        await approve_a_tool(window, url)
        await look_around(window, url, DEMO_MODEL)
        assert await window.log() == []
