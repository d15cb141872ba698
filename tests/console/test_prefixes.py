"""The console where browsers see it below a prefix, in a headless browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra.server import BearerAuth, ServerConfig
from tests.console import app
from tests.console.live import behind_a_proxy, below_root_path, console, mounted
from tests.support.browser import browser

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(400)]

SIGN_IN = "document.querySelector('input').value = 'secret'; document.forms[0].requestSubmit()"


@pytest.mark.parametrize("path", ["/", "/console"])
@pytest.mark.parametrize("around", [None, mounted, below_root_path, behind_a_proxy])
async def test_a_person_finds_their_way(around: Any, path: str) -> None:
    mastra = app.build(asyncio.Event())
    config = ServerConfig(auth=BearerAuth({"secret": None}))
    async with console(mastra, config, path, around=around) as url, browser() as window:
        await window.open(f"{url}/workflows")
        await window.js(SIGN_IN)
        await window.reads("Plans a day in a city")  # where they wanted to go
        assert await window.address() == f"{url}/workflows"
        await window.click("a.mono", "orders")  # a row of a table
        await window.type("customer *", "Ann")
        await window.type("amount", "300")
        await window.click("button", "START")
        await window.reads("ask_boss waits for an answer")
        assert (await window.address()).startswith(f"{url}/workflows/orders/runs/")
        await window.click("a", "Workflow")  # a link
        await window.reads("Latest runs (1 in all)")
        assert await window.address() == f"{url}/workflows/orders"
        await window.js("document.querySelector('a[aria-label=Inbox]').click()")
        await window.reads("May Ann spend 300?")
        assert await window.address() == f"{url}/inbox"
        await window.click("button", "Sign out")
        await window.until("return document.querySelector('input[name=token]') !== null")
        told = await window.log()
        assert [one for one in told if "401" not in one and "favicon" not in one] == []
