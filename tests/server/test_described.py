"""What the API tells of agents, workflows and tools that are set up in less usual ways."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field

from mastra import (
    Agent,
    Mastra,
    ModelConfig,
    ServerConfig,
    create_step,
    create_tool,
    create_workflow,
)
from mastra.models.messages import Message
from mastra.models.resolve import Fallback
from mastra.server import ApiRoute, create_app
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio


class Tree(BaseModel):
    name: str
    branches: list[Tree] = Field(default_factory=list["Tree"])


class Leaf(BaseModel):
    colour: str


class Plant(BaseModel):
    tree: Tree
    leaf: Leaf


class Tier(BaseModel):
    tier: str


@asynccontextmanager
async def served(mastra: Mastra, **config: Any) -> AsyncGenerator[httpx.AsyncClient]:
    app = create_app(mastra, ServerConfig(**config))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


def schema_in(text: str) -> Any:
    return json.loads(text)["json"]


async def test_a_workflow_tells_of_its_state_its_steps_and_its_sleeps() -> None:
    async def grow(plant: Plant) -> Tree:
        return plant.tree

    async def same(tree: Tree) -> Tree:
        return tree

    inner = (
        create_workflow(id="inner", input_schema=Tree, output_schema=Tree)
        .sleep(0.01, id="doze")
        .then(create_step(id="same", execute=same))
        .commit()
    )
    options: dict[str, Any] = {
        "state_schema": Leaf,
        "request_context_schema": Tier,
        "metadata": {"team": "green"},
        "description": "Grows",
    }
    step = create_step(id="grow", execute=grow, description="One", metadata={"cost": 3})
    flow = create_workflow(id="flow", input_schema=Plant, output_schema=Tree, **options)
    mastra = Mastra(workflows={"flow": flow.then(step).then(inner).commit()})
    async with served(mastra) as client:
        wire = (await client.get("/api/workflows/flow")).json()
    assert (wire["metadata"], wire["description"]) == ({"team": "green"}, "Grows")
    assert schema_in(wire["stateSchema"])["properties"]["colour"] == {
        "title": "Colour",
        "type": "string",
    }
    assert "tier" in schema_in(wire["requestContextSchema"])["properties"]
    assert wire["steps"]["grow"]["metadata"] == {"cost": 3}
    # A sleep within a workflow within is no step of the outermost.
    assert set(wire["steps"]) == {"grow", "inner"}
    assert set(wire["allSteps"]) == {"grow", "inner", "inner.doze", "inner.same"}
    # What contains itself stays a reference; all else is put where it is referred to.
    given = schema_in(wire["inputSchema"])
    assert given["properties"]["leaf"]["properties"]["colour"]["type"] == "string"
    assert given["properties"]["tree"]["properties"]["branches"]["items"] == {
        "$ref": "#/$defs/Tree"
    }
    assert "Tree" in given["$defs"]


async def test_a_workflow_tells_of_its_versions() -> None:
    async def same(leaf: Leaf) -> Leaf:
        return leaf

    def of(version: str) -> Any:
        made = create_workflow(id="w", input_schema=Leaf, output_schema=Leaf, version=version)
        return made.then(create_step(id="same", execute=same)).commit()

    async with served(Mastra(workflows=[of("1"), of("2")])) as client:
        wire = (await client.get("/api/workflows/w")).json()
    assert (wire["version"], wire["versions"]) == ("2", ["1", "2"])


async def test_an_agent_tells_of_the_steps_of_its_workflows() -> None:
    step = create_step(id="same", description="Gives it back", execute=by_request)
    flow = create_workflow(id="flow", input_schema=Any, output_schema=Any).then(step).commit()
    agent = Agent(id="a", model=ScriptedModel(), workflows={"f": flow})
    async with served(Mastra(agents={"a": agent})) as client:
        one = (await client.get("/api/agents/a")).json()
        listed = (await client.get("/api/agents")).json()["a"]
    steps = {"same": {"id": "same", "description": "Gives it back"}}
    assert one["workflows"] == {"f": {"name": "flow", "steps": steps}}
    assert listed["workflows"] == {"f": {"name": "flow"}}


def by_request(_context: Any) -> Any:
    return []


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("openai/gpt-5", ("openai", "gpt-5")),
        (ModelConfig(id="openai/gpt-5", api_key="k"), ("openai", "gpt-5")),
        ([Fallback("openai/gpt-5"), "anthropic/x"], ("openai", "gpt-5")),
        ([Fallback("anthropic/x", enabled=False), "openai/gpt-5"], ("openai", "gpt-5")),
        ([Fallback("anthropic/x", enabled=False)], (None, None)),
        (by_request, (None, None)),
        (ScriptedModel(), ("scripted", "model")),
        ([Fallback(ScriptedModel())], ("scripted", "model")),
    ],
    ids=[
        *("name", "config", "fallbacks", "first disabled", "all disabled", "function"),
        *("object", "object as a fallback"),
    ],
)
async def test_an_agent_tells_of_its_model_where_that_can_be_told(model: Any, told: Any) -> None:
    agent = Agent(id="a", model=model, agents=by_request, input_processors=by_request)
    async with served(Mastra(agents={"a": agent})) as client:
        wire = (await client.get("/api/agents/a")).json()
    assert (wire["provider"], wire["modelId"]) == told
    assert (wire["agents"], wire["inputProcessors"]) == ({}, [])


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        ("Be kind.", "Be kind."),
        (["Be kind.", "Be brief."], "Be kind.\n\nBe brief."),
        ([{"role": "system", "content": "Be kind."}], "Be kind."),
        (Message.system("Be kind."), "Be kind."),
    ],
    ids=["text", "texts", "dicts", "message"],
)
async def test_an_agent_tells_of_its_instructions_in_every_form(
    instructions: Any, told: str
) -> None:
    agent = Agent(id="a", model=ScriptedModel(), instructions=instructions)
    async with served(Mastra(agents={"a": agent})) as client:
        assert (await client.get("/api/agents/a")).json()["instructions"] == told


async def test_a_tool_tells_what_it_gives_and_what_it_is_called() -> None:
    async def double(given: Leaf) -> Leaf:
        return given

    full = create_tool("full", "Gives a leaf", Leaf, Leaf, double, title="A leaf")
    plain = create_tool("plain", "Is the client's", Leaf)
    async with served(Mastra(tools={"full": full, "plain": plain})) as client:
        tools = (await client.get("/api/tools")).json()
        assert tools["full"]["title"] == "A leaf"
        assert "colour" in schema_in(tools["full"]["outputSchema"])["properties"]
        assert {"title", "outputSchema"} & tools["plain"].keys() == set()
        run = await client.post("/api/tools/plain/execute", json={"data": {"colour": "red"}})
        assert (run.status_code, "its client runs it" in run.json()["error"]) == (400, True)


async def test_the_description_is_made_once_and_is_that_of_each_workflow() -> None:
    async def same(leaf: Leaf) -> Leaf:
        return leaf

    flow = create_workflow(id="flow", input_schema=Leaf, output_schema=Leaf)
    mastra = Mastra(workflows={"flow": flow.then(create_step(id="same", execute=same)).commit()})
    async with served(mastra) as client:
        first = (await client.get("/api/openapi.json")).json()
        assert (await client.get("/api/openapi.json")).json() == first
        own = first["paths"]["/api/workflows/flow/start-async"]["post"]
        body = own["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = first["components"]["schemas"][body.rpartition("/")[2]]
        assert schema["properties"]["inputData"] == {"$ref": "#/components/schemas/flow.Input"}
        assert "/api/workflows/flow/resume-stream" in first["paths"]
        assert "/docs" in (await client.get("/")).text
    async with served(mastra, openapi=False) as client:
        assert (await client.get("/api/openapi.json")).status_code == 404
        assert "/docs" not in (await client.get("/")).text


# -- what is beside the routes -----------------------------------------------------------------


async def tagged(request: Any, call_next: Any) -> Any:
    request.state.request_context = {"tier": "gold"}
    answer = await call_next(request)
    answer.headers["x-seen"] = "1"
    return answer


class Stamping:
    def __init__(self, app: Any, stamp: str) -> None:
        self.app, self.stamp = app, stamp

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", self.stamp.encode())]
            await send(message)

        await self.app(scope, receive, send_on)


async def test_middleware_sees_every_request_and_says_more_of_it() -> None:
    from starlette.middleware import Middleware

    def instructions(context: Any) -> str:
        return f"For {context.request_context.get('tier')}."

    agent = Agent(id="a", model=ScriptedModel(), instructions=instructions)
    both = [tagged, Middleware(Stamping, stamp="s")]
    async with served(Mastra(agents={"a": agent}), middleware=both) as client:
        answer = await client.get("/api/agents/a?requestContext=eyJ0aWVyIjoibm9uZSJ9")
        # What middleware says goes before what the client does.
        assert answer.json()["instructions"] == "For gold."
        assert (answer.headers["x-seen"], answer.headers["x-stamp"]) == ("1", "s")


async def test_an_answer_without_a_place_to_go_to_stays_as_it_is() -> None:
    from starlette.responses import Response

    async def unchanged() -> Response:
        return Response(status_code=304, headers={"etag": '"x"'})

    async def elsewhere() -> Response:
        return Response(status_code=307, headers={"location": "http://[bad/x"})

    async def away() -> Response:
        return Response(status_code=307, headers={"location": "https://docs.example.com/x"})

    routes = [
        ApiRoute(path="/away", method="GET", handler=away),
        ApiRoute(path="/same", method="GET", handler=unchanged),
        ApiRoute(path="/odd", method="GET", handler=elsewhere),
    ]
    async with served(Mastra(), api_routes=routes) as client:
        same = await client.get("/same")
        assert (same.status_code, same.headers["etag"], same.content) == (304, '"x"', b"")
        # To another host only the application sends a caller.
        far = await client.get("/away")
        assert (far.status_code, far.headers["location"]) == (307, "https://docs.example.com/x")
        odd = await client.get("/odd")
        assert (odd.status_code, odd.headers["location"]) == (307, "http://[bad/x")


async def test_a_route_that_is_added_to_the_application_says_what_it_lacks() -> None:
    from fastapi import HTTPException

    app = create_app(Mastra())

    @app.get("/mine/{name}")
    async def mine(name: str) -> str:
        raise HTTPException(404, f"no {name}")

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        own = await client.get("/mine/x")
        assert (own.status_code, own.json()) == (404, {"error": "no x"})
        none = await client.get("/nowhere")
        assert (none.status_code, none.text) == (404, "404 Not Found")
