"""AG-UI's own client, unmodified and with its verification on, against a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.ag_ui.app import build
from tests.ai_sdk.app import PIECES, Deeds
from tests.server.live import running
from tests.support.npm import drive, install

pytestmark = [pytest.mark.anyio, pytest.mark.npm, pytest.mark.timeout(180)]
FOLDER = Path(__file__).parent / "js"
AGENTS = ("plain", "remembering", "durable")


def said(run: dict[str, Any]) -> str:
    return run["messages"][-1]["content"]


async def test_a_page_of_ag_ui_talks_to_agents_and_workflows() -> None:
    await install(FOLDER)
    deeds = Deeds()
    async with running(build(deeds, pause_s=0.02)) as (url, _):
        told = await drive(FOLDER, "client.mjs", url)
        async with asyncio.timeout(5):
            while deeds.cut < 1:
                await asyncio.sleep(0.01)
    fine = {name for name, run in told.items() if run["failed"] is None}
    assert told.keys() - fine == {f"left out {name}" for name in AGENTS}
    assert not [words for run in told.values() for words in run["warned"]]
    for name in AGENTS:
        assert said(told[f"tools {name}"]).startswith("The tools said: {'city': 'Oslo'")
        interrupts = told[f"asked {name}"]["ended"]["outcome"]["interrupts"]
        assert told[f"asked {name}"]["waits"] == interrupts
        assert "pending interrupt" in told[f"left out {name}"]["failed"]
        assert said(told[f"approved {name}"]) == "The tools said: paid ann, paid bob."
        assert "out of order" in told[f"error {name}"]["ended"]["message"]
    assert deeds.paid == ["ann", "bob"] * 3
    assert told["called"]["ended"]["outcome"]["pendingToolCallIds"] == ["call_1"]
    assert said(told["answered"]) == "The tools said: home."
    assert told["noted"]["state"] == {"name": "Ann", "likes": []}
    assert told["shared"]["state"] == {"name": "Ann", "likes": ["tea"]}
    assert "SUBAGENT_FINISHED" in told["sub-agent"]["kinds"]
    assert said(told["sub-agent"]) == "They are done."
    assert [one["role"] for one in told["thought"]["messages"]][1] == "reasoning"
    assert [one["content"] for one in told["strict"]["messages"]] == ["go", "good"]
    roles = [one["role"] for one in told["muddled"]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert told["muddled"]["messages"][1]["content"] == "One two"
    assert [told[name]["most"] for name in ("strict", "muddled")] == [2, 6]
    assert said(told["told"]) == "The tools said: answered this."
    for name in ("plain", "durable"):
        assert told[f"aborted {name}"]["ended"]["code"] == "abort"
    assert deeds.pieces < 2 * PIECES
    assert told["trip"]["state"] == {"count": 1}
    assert told["trip resumed"]["ended"]["result"] == {"city": "Oslo", "sure": True}
    assert told["both"]["ended"]["outcome"] == {"type": "success"}
    assert said(told["telling"]) == "You said: Oslo"
