"""Every example runs as it is, with no key, and prints what it is about."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.app_process import ROOT, environment

EMBEDDED = {
    "agent_alone": [r" tokens, finished: "],
    "stream_agent_in_step": ["(success, "],
    "structured_output": ["Review mood='"],
}
SLOW = {"evaluating": ["10 plans {'names-city': ", "The judge "]}
"""A model of this size takes a minute for it, and more where there is much else to do."""
OTHERS = {
    "agent_with_tool": [
        "asks for get_stock {'item': 'tea'}",
        "was told 12",
        "There are 12 packets of tea left.",
        "(2 calls of the model)",
    ],
    "branching": ["80 g by letter\n2500 g by van"],
    "durable_agent": [
        "booking a room\nbooking a table\nstopped\nbooking a table\n",
        "A room and a table are booked.\n(3 calls of the model)",
    ],
    "foreach": ["ONE FOR EACH"],
    "parallel": [
        "counting words\ncounting letters\ncounted\ncounted\n4 words, 15 letters",
    ],
    "scripted_test": ["passed"],
    "semantic_recall": [
        "user: My cat is called Tom.\nuser: What is my cat called?\n",
    ],
    "suspend_and_resume": [
        "suspended {'question': 'Pay 120.00 for a chair?'}",
        "success paid",
    ],
    "two_step_workflow": ["success tea: 7.00\nfailed We sell no soup."],
}
LOGGED = {
    "scripted_test": "Step 'summarise' of workflow 'summaries' failed: ",
    "two_step_workflow": "Step 'price' of workflow 'orders' failed: ValueError: We sell no soup.",
}
"""The one line that an example logs, of a step that fails in it on purpose."""
FILES = sorted((ROOT / "examples").glob("*.py"))


def check(name: str, expected: list[str], timeout_s: float = 110) -> None:
    ended = subprocess.run(
        [sys.executable, f"examples/{name}.py"],
        cwd=ROOT,
        env=environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for text in expected:
        assert text in ended.stdout
    logged = ended.stderr.splitlines()
    if name in LOGGED:
        assert logged.pop().startswith(LOGGED[name])
    assert logged == []


@pytest.mark.xdist_group("embedded-model")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.every_engine] if place else [])
        for place, name in enumerate(EMBEDDED)
    ],
)
def test_an_example_on_the_embedded_model(name: str) -> None:
    check(name, EMBEDDED[name])


@pytest.mark.every_engine
@pytest.mark.xdist_group("embedded-model")
@pytest.mark.timeout(320)
@pytest.mark.parametrize("name", SLOW)
def test_an_example_that_asks_the_embedded_model_often(name: str) -> None:
    check(name, SLOW[name], 300)


@pytest.mark.parametrize("name", OTHERS)
def test_an_example(name: str) -> None:
    check(name, OTHERS[name])


def test_every_example_has_a_test_and_is_short() -> None:
    assert {file.stem for file in FILES} == EMBEDDED.keys() | SLOW.keys() | OTHERS.keys()
    for file in FILES:
        assert len(file.read_text().splitlines()) < 80, file.name
