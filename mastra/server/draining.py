"""Stopping: no new work, and time for what is under way to reach a safe point."""

from __future__ import annotations

import asyncio

from mastra.server.context import Server
from mastra.workflows.engines.base import Engine

__all__ = ["begin_draining", "drain"]


def begin_draining(server: Server) -> None:
    """Refuse further requests. Called on the loop as soon as the process is told to stop."""
    server.draining.set()


async def drain(server: Server) -> None:
    """Let runs end, or reach the end of a step, for as long as the configuration allows.

    Whoever tells it to stop and the end of the lifespan wait for one and the same.
    """
    begin_draining(server)
    if server.drained is None:
        server.drained = asyncio.ensure_future(_drain(server))
    await asyncio.shield(server.drained)


async def _drain(server: Server) -> None:
    await server.mastra.schedules.stop()
    engines: dict[int, Engine] = {id(server.mastra.engine): server.mastra.engine}
    for workflow in server.mastra.list_workflows().values():
        engines[id(workflow.runtime.engine)] = workflow.runtime.engine
    waits = [engine.drain(server.config.drain_timeout) for engine in engines.values()]
    left = sum(await asyncio.gather(*waits))
    if left:
        server.logger.warning(
            "%d runs did not reach the end of a step within %g s; with a storage that outlives "
            "the process they go on when it starts again.",
            left,
            server.config.drain_timeout,
        )
    await asyncio.gather(*(close(server.config.drain_timeout) for close in server.closers))
