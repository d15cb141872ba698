"""A validator that raises what is no `ValueError` is a 400, for whatever a client sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, field_validator

from mastra import Agent, Mastra, create_step, create_tool, create_workflow
from mastra.server import create_app
from mastra.testing import ScriptedModel, ToolCall
from mastra.workflows.step_context import StepContext


class Price(BaseModel):
    currency: str

    @field_validator("currency")
    @classmethod
    def known(cls, value: str) -> str:
        assert {"eur": 1}[value]
        return value


async def convert(price: Price) -> str:
    return price.currency


async def ask(ctx: StepContext[Any]) -> Any:
    return await ctx.suspend() if ctx.resume_data is None else ctx.resume_data.currency


USD = {"currency": "usd"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    step = create_step(id="ask", execute=ask, input_schema=Any, resume_schema=Price)
    taking = create_workflow(id="taking", input_schema=Price, output_schema=None)
    asking = create_workflow(id="asking", input_schema=None, output_schema=None)
    tool = create_tool("convert", "Converts.", execute=convert)
    model = ScriptedModel(ToolCall("convert", USD), "sorry")
    mastra = Mastra(
        workflows={"taking": taking.then(step).commit(), "asking": asking.then(step).commit()},
        tools={"convert": tool},
        agents={
            "trader": Agent(id="trader", model=model, tools={"convert": tool}),
            "strict": Agent(id="strict", model=model, request_context_schema=Price),
        },
    )
    transport = httpx.ASGITransport(create_app(mastra))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/api") as opened:
        yield opened


async def test_a_run_s_input(client: httpx.AsyncClient) -> None:
    answer = await client.post("/workflows/taking/start-async", json={"inputData": USD})
    assert answer.status_code == 400
    assert "currency: validator Price.known of Price raised KeyError" in answer.json()["error"]


async def test_an_answer_to_a_run(client: httpx.AsyncClient) -> None:
    where = {"runId": "r"}
    await client.post("/workflows/asking/start-async", json={"inputData": None}, params=where)
    given = {"resumeData": USD, "step": "ask"}
    answer = await client.post("/workflows/asking/resume-async", json=given, params=where)
    assert answer.status_code == 400
    assert "KeyError" in answer.json()["error"]


async def test_the_input_of_a_tool(client: httpx.AsyncClient) -> None:
    answer = await client.post("/tools/convert/execute", json={"data": USD})
    assert answer.status_code == 400 or answer.json()["error"] is True
    assert "Price.known of Price raised KeyError" in answer.text
    # Of a call of a model's the model is told, which may do better.
    answer = await client.post("/agents/trader/generate", json={"messages": "usd"})
    assert answer.status_code == 200
    assert answer.json()["text"] == "sorry"
    assert "KeyError" in answer.text


async def test_a_request_context(client: httpx.AsyncClient) -> None:
    body = {"messages": "hi", "requestContext": USD}
    answer = await client.post("/agents/strict/generate", json=body)
    assert answer.status_code == 400
    assert "KeyError" in answer.json()["error"]
