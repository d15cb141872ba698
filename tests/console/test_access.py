"""Who may look: whoever may call the API, and at what it tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mastra import Agent, ConfigError, Mastra, StepContext, create_workflow, step
from mastra.console import mount
from mastra.memory import Memory
from mastra.observability import Observability
from mastra.server import BearerAuth, ServerConfig, create_app
from mastra.testing import ScriptedModel
from tests.console.live import console

pytestmark = [pytest.mark.anyio]

PAGES = (
    *("/", "/workflows", "/workflows/asks", "/workflows/asks/runs/r", "/workflows/asks/compare"),
    *("/inbox", "/agents", "/agents/a", "/runs", "/traces", "/traces/t", "/evals"),
    *("/schedules", "/schedules/s", "/evals/datasets/d/compare", "/evals/scorers/s"),
    *("/evals/datasets/d", "/evals/datasets/d/experiments/e"),
)
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="


@step
async def ask(ctx: StepContext[str]) -> str:
    if ctx.resume_data is None:
        await ctx.suspend({"question": f"{ctx.input_data}?"})
    return ctx.input_data


asks = create_workflow(id="asks", input_schema=str, output_schema=str).then(ask).commit()


@asynccontextmanager
async def guarded(path: str = "/") -> AsyncIterator[tuple[str, httpx.AsyncClient, Mastra]]:
    """Serve for Ann, for Bob, and for an operator."""
    tokens = {"of-ann": "ann", "of-bob": "bob", "of-all": None}
    mastra = Mastra(workflows=[asks])
    config = ServerConfig(auth=BearerAuth(tokens))
    async with console(mastra, config, path) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            yield url, client, mastra


def shows(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_stranger_is_refused_on_every_page_and_its_socket() -> None:
    async with guarded() as (url, client, _):
        for page in PAGES:
            answer = await client.get(page)
            assert (answer.status_code, "A token that the API takes" in answer.text) == (401, True)
            assert "nicegui" not in answer.text
        for headers in ({}, shows("wrong"), {"cookie": "mastra_console=wrong"}):
            answer = await client.get(f"{SOCKET}polling", headers=headers)
            assert answer.status_code == 401
            with pytest.raises(InvalidStatus):
                async with connect(
                    url.replace("http", "ws") + f"{SOCKET}websocket", additional_headers=headers
                ):
                    pass


async def test_no_page_of_another_origin_shows_one_in_a_frame() -> None:
    async with guarded("/console") as (_, client, _):
        shown = shows("of-all")
        for page in (*PAGES, "/sign-in", "/docs", "/swagger-ui"):
            address = page if page in {"/docs", "/swagger-ui"} else f"/console{page}"
            for headers in ({}, shown):
                answer = await client.get(
                    f"{client.base_url.copy_with(path=address)}", headers=headers
                )
                kept = answer.headers.get("content-security-policy")
                is_json = answer.headers["content-type"] == "application/json"
                assert is_json or kept == "frame-ancestors 'self'", (page, answer.text)
                assert is_json or answer.headers["x-frame-options"] == "SAMEORIGIN"
            assert answer.headers["content-type"].startswith("text/html"), page


async def test_whoever_has_a_token_signs_in_and_out() -> None:
    async with guarded("/console") as (_, client, _):
        form = await client.get("/workflows?x=1")
        assert 'action="/console/sign-in?next=/console/workflows%3Fx%3D1"' in form.text

        refused = await client.post("/sign-in", data={"token": "wrong"})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        assert "Authentication required" in refused.text
        long = await client.post("/sign-in", data={"token": "x" * 20_000})
        assert (long.status_code, "That is too long for a token." in long.text) == (401, True)
        # Who follows a link to it has the form; who is sent from another place signs nobody in or out.
        linked = await client.get("/sign-in")
        assert (linked.status_code, "set-cookie" in linked.headers) == (401, False)
        assert 'action="/console/sign-in?next=/console/"' in linked.text
        for what in ("sign-in", "sign-out"):
            elsewhere = {"origin": "http://example.com"}
            answer = await client.post(f"/{what}", data={"token": "of-ann"}, headers=elsewhere)
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        away = await client.post("/sign-in?next=https://example.com", data={"token": "of-ann"})
        assert away.headers["location"] == "/console/"

        cookie = away.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/console/"} <= {
            part.strip() for part in cookie.split(";")
        }
        page = await client.get("/workflows")
        assert (page.status_code, "Sign out" in page.text) == (200, True)
        await client.post("/sign-out")
        assert (await client.get("/workflows")).status_code == 401


async def test_each_sees_what_the_api_would_tell_them() -> None:
    async with guarded() as (_, client, mastra):
        workflow = mastra.get_workflow("asks")
        for owner in ("ann", "bob"):
            run = await workflow.create_run(f"run-of-{owner}", resource_id=owner)
            await run.start(f"whose, {owner}")

        for page in ("/runs", "/inbox", "/workflows/asks"):
            told = (await client.get(page, headers=shows("of-ann"))).text
            assert ("run-of-ann" in told, "run-of-bob" in told) == (True, False), page
            told = (await client.get(page, headers=shows("of-all"))).text
            assert ("run-of-ann" in told, "run-of-bob" in told) == (True, True), page
        address = "/workflows/asks/runs/run-of-bob"
        told = (await client.get(address, headers=shows("of-ann"))).text
        assert "Access denied" in told
        assert "whose, bob" not in told
        assert "whose, bob" in (await client.get(address, headers=shows("of-bob"))).text


async def test_what_belongs_to_another_is_refused_whatever_address_is_guessed() -> None:
    tokens = {"of-ann": "ann", "of-bob": "bob"}
    agent = Agent(id="a", model=ScriptedModel("bob's secret"), memory=Memory())
    mastra = Mastra(workflows=[asks], agents=[agent], observability=Observability())
    config = ServerConfig(auth=BearerAuth(tokens))
    async with console(mastra, config) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:

            async def make(path: str, body: Any) -> Any:
                answer = await client.post(f"/api{path}", json=body, headers=shows("of-bob"))
                assert answer.status_code == 200, answer.text
                return answer.json()

            said = {"messages": "a secret", "memory": {"thread": "of-bob"}}
            await make("/agents/a/generate", said)
            dataset = (await make("/datasets", {"name": "bob's secret"}))["id"]
            base = f"/datasets/{dataset}"
            await make(f"{base}/items", {"input": "bob's secret", "groundTruth": "x"})
            run = {"targetType": "agent", "targetId": "a", "name": "bob's secret"}
            experiment = (await make(f"{base}/experiments", run))["experimentId"]
            cron = {"workflowId": "asks", "cron": "@yearly", "inputData": "bob's secret"}
            schedule = (await make("/schedules", cron))["id"]
            assert mastra.observability is not None
            await mastra.observability.flush()
            traces = await client.get("/api/observability/traces/light", headers=shows("of-bob"))
            trace = traces.json()["spans"][-1]["traceId"]
            pair = f"left={experiment}&right={experiment}"
            for page in (
                "/agents/a?thread=of-bob",
                f"/evals{base}",
                f"/evals{base}/experiments/{experiment}",
                f"/evals{base}/compare?{pair}",
                f"/schedules/{schedule}",
                f"/traces/{trace}",
            ):
                told = (await client.get(page, headers=shows("of-ann"))).text
                assert ("block" in told, "secret" in told) == (True, False), page
                told = (await client.get(page, headers=shows("of-bob"))).text
                assert "Access denied" not in told, page
                assert "(404)" not in told, page
            for page in ("/evals", "/schedules", "/traces", "/agents/a", "/"):
                told = (await client.get(page, headers=shows("of-ann"))).text
                assert "secret" not in told, page
                assert schedule not in told, page
                assert trace not in told, page


async def test_a_page_of_another_place_opens_no_socket() -> None:
    async with console(Mastra(workflows=[asks])) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            headers = {"origin": "http://example.com"}
            assert (await client.get(f"{SOCKET}polling", headers=headers)).status_code == 403
            headers = {"host": "example.com"}
            assert (await client.get("/workflows", headers=headers)).status_code == 403
            assert (await client.get("/workflows")).status_code == 200


async def test_the_application_keeps_its_own_addresses() -> None:
    async with console(Mastra(workflows=[asks]), path="/console") as url:
        async with httpx.AsyncClient(trust_env=False) as client:
            root = url.removesuffix("/console")
            assert (await client.get(f"{url}/workflows")).status_code == 200
            assert "The REST API is under" in (await client.get(root)).text
            assert (await client.get(f"{root}/workflows")).status_code == 404
            assert (await client.get(f"{root}/api/workflows")).status_code == 200
            assert (await client.get(f"{root}/_mastra_console/workflows")).status_code == 404


def test_a_console_where_the_api_is_is_refused() -> None:
    mastra = Mastra()
    for path in ("console", "/console/", "/api"):
        with pytest.raises(ConfigError, match="console"):
            mount(create_app(mastra), mastra, path=path)
