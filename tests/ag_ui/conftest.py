"""One application for the tests of a file, each with threads of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from mastra.server import create_app
from tests.ag_ui.app import build
from tests.ai_sdk.app import Deeds


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[httpx.AsyncClient, Deeds]]:
    deeds = Deeds()
    mastra = build(deeds)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as made:
        yield made, deeds


@pytest.fixture
def http(served: tuple[httpx.AsyncClient, Deeds]) -> httpx.AsyncClient:
    return served[0]


@pytest.fixture
def deeds(served: tuple[httpx.AsyncClient, Deeds]) -> Deeds:
    found = served[1]
    found.paid.clear()
    found.requests.clear()
    found.pieces = 0
    return found


@pytest.fixture
def thread(request: pytest.FixtureRequest) -> str:
    return request.node.name
