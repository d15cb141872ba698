"""A headless Chromium, driven by its own driver over the WebDriver protocol."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.support.ending import end_process
from tests.support.inngest_env import free_ports

__all__ = ["Browser", "browser"]

_FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no page loads from elsewhere
]
_CONTROL = "\ue009"
# What the driver says of an element that is drawn anew, or in a dialog that is still on its way in.
_NOT_YET = ("stale element", "element not interactable", "element click intercepted")
_FIND = """
const [selector, text] = arguments;
if (window.did_handshake === false) return null;  // a page that does not listen yet
const shown = [...document.querySelectorAll(selector)].filter(one => one.offsetParent !== null
  && (text === null || one.innerText.trim().split('\\n').at(-1).trim() === text || one.getAttribute('aria-label') === text));
return shown.at(-1) ?? null;
"""


class Browser:
    """One window."""

    def __init__(self, client: httpx.AsyncClient, session: str) -> None:
        self._client = client
        self._base = f"/session/{session}"

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._client.request(
            method, self._base + path, json=body if body is not None or method == "GET" else {}
        )
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(f"{value['error']}: {value['message'][:800]}")
        return value

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self._ask("POST", "/url", {"url": url})

    async def address(self) -> str:
        """Return where it is."""
        return await self._ask("GET", "/url")

    async def js(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return await self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    async def text(self) -> str:
        """Return what is to be read."""
        return await self.js("return document.body.innerText")

    async def until(self, script: str, *arguments: Any, timeout_s: float = 40.0) -> Any:
        """Return what a script returns as soon as that is true."""
        ends = time.monotonic() + timeout_s
        while not (found := await self.js(script, *arguments)):
            if time.monotonic() > ends:
                raise AssertionError(f"never: {script} {arguments}\n{await self.text()}")
            await asyncio.sleep(0.05)
        return found

    async def reads(self, text: str, timeout_s: float = 40.0) -> None:
        """Wait until a text is to be read."""
        script = "return document.body.innerText.includes(arguments[0])"
        await self.until(script, text, timeout_s=timeout_s)

    async def find(self, selector: str, text: str | None = None) -> dict[str, str]:
        """Return the last element that is shown, with this text or label."""
        return await self.until(_FIND, selector, text)

    async def click(self, selector: str, text: str | None = None) -> None:
        """Click it as a mouse does."""
        await self._do("click", None, selector, text)

    async def type(self, label: str, text: str) -> None:
        """Put a text into the field with a label, in place of what it holds."""
        typed = {"text": f"{_CONTROL}a{_CONTROL}{text}"}
        await self._do("value", typed, f'[aria-label="{label}"]', None)

    async def _do(self, what: str, body: Any, selector: str, text: str | None) -> None:
        """Do something with an element; one that is drawn anew or moves meanwhile is looked for again."""
        ends = time.monotonic() + 20
        while True:
            element = await self.find(selector, text)
            try:
                await self._ask("POST", f"/element/{next(iter(element.values()))}/{what}", body)
            except AssertionError as error:
                if not str(error).startswith(_NOT_YET) or time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, where the focus is."""
        kinds = ("keyDown", "keyUp")
        actions = [{"type": kind, "value": key} for key in keys for kind in kinds]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        await self._ask("POST", "/actions", {"actions": [keyboard]})

    async def shot(self) -> bytes:
        """Return a picture of the window, a PNG."""
        return base64.b64decode(await self._ask("GET", "/screenshot"))

    async def resize(self, width: int, height: int) -> None:
        """Make the window as large."""
        await self._ask("POST", "/window/rect", {"width": width, "height": height})

    async def cookie(self, name: str, value: str) -> None:
        """Keep a cookie for the address at which it is."""
        await self._ask("POST", "/cookie", {"cookie": {"name": name, "value": value}})

    async def log(self) -> list[str]:
        """Return what went wrong in the page."""
        found = await self._ask("POST", "/se/log", {"type": "browser"})
        return [one["message"] for one in found if one["level"] == "SEVERE"]


async def _answers(client: httpx.AsyncClient) -> None:
    """Wait until a driver does."""
    while True:
        with suppress(httpx.ConnectError):
            await client.get("/status")
            return
        await asyncio.sleep(0.05)


@asynccontextmanager
async def browser(width: int = 1400, height: int = 900) -> AsyncIterator[Browser]:
    """Give a window of a new Chromium; skip the test where there is none."""
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if driver is None or chromium is None:
        pytest.skip("there is no Chromium with its driver")
    [port] = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        driver, f"--port={port}", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
            ) as client:
                async with asyncio.timeout(20):
                    await _answers(client)
                options = {
                    "binary": chromium,
                    "args": [
                        *_FLAGS,
                        f"--user-data-dir={profile}",
                        f"--window-size={width},{height}",
                    ],
                }
                asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
                made = await client.post("/session", json={"capabilities": {"alwaysMatch": asked}})
                session = made.json()["value"]["sessionId"]
                yield Browser(client, session)
                await client.delete(f"/session/{session}")
    finally:
        await end_process(process, signal.SIGTERM, what=driver)
