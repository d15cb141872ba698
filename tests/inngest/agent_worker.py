"""The app of a durable agent on Inngest, as a process, for tests that kill it.

    python -m tests.inngest.agent_worker URL NOTES serve PORT SERVER_URL [DIES_AT]

Agent and notes are those of `tests.support.agent_process`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import fastapi
import inngest
import uvicorn

from mastra import Mastra
from mastra.inngest import InngestEngine, serve
from tests.support import agent_process


def build(url: str, server_url: str) -> tuple[Mastra, inngest.Inngest]:
    """Return what every process of a test has."""
    client = inngest.Inngest(
        app_id="agents", is_production=False, api_base_url=server_url, event_api_base_url=server_url
    )
    return agent_process.build(url, InngestEngine(client)), client


def main() -> None:
    """Serve until killed."""
    url, _, _, port, server_url = sys.argv[1:6]
    mastra, client = build(url, server_url)

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncGenerator[None]:
        async with mastra:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    serve(app, mastra, client)
    uvicorn.run(app, port=int(port), log_level="error")


if __name__ == "__main__":
    main()
