"""A page of the console, beside a call of the API for the same rows.

Both are asked in this process, of an application whose runs are in SQLite, and take the processor's time. A page that nobody looks at any further is forgotten
at once, as one that a browser leaves is a little later.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from importlib.util import find_spec
from tempfile import TemporaryDirectory

import httpx

from bench.measure import Options, Row, Subject, compare, missing
from mastra import Mastra, SQLStorage, create_workflow, step
from mastra.server import create_app

__all__ = ["measure"]

GROUP = "console"
RUNS = 10_000
SHOWN = 100
NAMES = {
    f"a page of {RUNS:,} runs, beside the API's call": {"workflow": "w"},
    "the same in their middle": {"workflow": "w", "before": ""},
}
MOST = 2.0


@step
async def double(n: int) -> int:
    """Do what is least."""
    return 2 * n


async def measure(options: Options) -> list[Row]:
    """Measure both pages."""
    if find_spec("nicegui") is None:
        return missing(GROUP, NAMES, "pip install 'mastra-py[console]'")
    from nicegui import Client  # noqa: PLC0415

    from mastra.console import mount  # noqa: PLC0415

    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(double).commit()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="mastra-bench-"))
        mastra = Mastra(workflows=[workflow], storage=SQLStorage(f"sqlite:///{folder}/runs.db"))
        app = create_app(mastra)
        mount(app, mastra)
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4111")
        )
        for number in range(RUNS // 10 if options.quick else RUNS):
            await mastra.get_workflow("w").create_run(f"run-{number:05}")

        async def api() -> None:
            answer = await client.get(f"/api/workflows/w/runs?limit={SHOWN}")
            assert len(answer.json()["runs"]) == SHOWN

        rows: list[Row] = []
        middle = await client.get("/api/workflows/w/runs?limit=1&offset=500")
        for name, asked in NAMES.items():
            query = {**asked}
            if "before" in query:
                query["before"] = middle.json()["runs"][0]["createdAt"]

            async def page(query: dict[str, str] = query) -> None:
                answer = await client.get("/runs", params=query)
                assert answer.text.count("run-0") >= SHOWN
                for shown in list(Client.instances.values()):
                    shown.delete()

            limit, ours = Subject(api, 1, waits=False), Subject(page, 1, waits=False)
            turns = options.turns(24)
            rows.append(
                await compare(
                    GROUP, name, ours=ours, limit=limit, turns=turns, unit="ms", target=MOST
                )
            )
    return rows
