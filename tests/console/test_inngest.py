"""What Home says of the Inngest server that runs an application's workflows."""

from __future__ import annotations

import httpx
import inngest
import pytest

from mastra import Mastra, create_workflow, step
from mastra.inngest import InngestEngine, serve
from tests.console.live import console
from tests.support.browser import browser
from tests.support.inngest_env import DevServer, free_ports, inngest_binary

pytestmark = [pytest.mark.anyio, pytest.mark.devserver, pytest.mark.timeout(200)]


@step
async def double(n: int) -> int:
    return 2 * n


async def test_home_tells_which_functions_the_server_knows_and_whether_it_is_there() -> None:
    if inngest_binary() is None:
        pytest.skip("no Inngest server: set INNGEST_BIN, or put `inngest` on the PATH")
    [port] = free_ports(1)
    server = DevServer(port)
    server.start()
    try:
        client = inngest.Inngest(
            app_id="shop",
            is_production=False,
            api_base_url=server.url,
            event_api_base_url=server.url,
        )
        workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(double)
        mastra = Mastra(workflows=[workflow.commit()], engine=InngestEngine(client))
        async with (
            console(mastra, port=port, also=lambda app: serve(app, mastra, client)) as url,
            browser() as window,
        ):
            await window.open(url)
            await window.reads(f"✓ {server.url} answers")
            await window.reads("shop-workflow.w\t✗ missing there")
            async with httpx.AsyncClient(trust_env=False) as asking:
                (await asking.put(f"{url}/api/inngest")).raise_for_status()
            await window.open(url)
            await window.reads("shop-workflow.w\t✓ registered")
            links = "[...document.links].filter(one => one.innerText === 'Its dashboard')[0].href"
            assert await window.js(f"return {links}") == f"{server.url}/"

            await window.open(f"{url}/workflows/w")
            await window.type("Value *", "4")
            await window.click("button", "START")
            await window.reads("Result\n8")

            server.kill()
            await window.open(url)
            await window.reads(f"✗ {server.url} does not answer")
            await window.reads("shop-workflow.w\t• unknown")
    finally:
        server.kill()
