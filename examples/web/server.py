"""A page that plans a day: steps show as they run, a person agrees in the middle, the plan streams.

In this folder once: `npm install && npm run build`. Then `python examples/web/server.py`, and the page is at
http://127.0.0.1:4111/page. The page is `page.jsx`: the AI SDK's `useChat`, as it comes.
"""

import os
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse
from pydantic import BaseModel

from mastra import Agent, Mastra, ServerConfig, StepContext, create_workflow, step
from mastra.ai_sdk import workflow_route
from mastra.server import ApiRoute, serve

HERE = Path(__file__).parent


class Place(BaseModel):
    """Where the day is spent."""

    city: str


class Day(Place):
    """What is known of it."""

    weather: str
    wish: str = ""


class Answer(BaseModel):
    """What the person says."""

    agreed: bool
    wish: str = ""


@step
async def look_outside(ctx: StepContext[Place]) -> Day:
    return Day(city=ctx.input_data.city, weather="rain in the morning, sun from noon on")


@step(resume_schema=Answer)
async def agree(ctx: StepContext[Day]) -> Any:
    if ctx.resume_data is None:
        return await ctx.suspend({"question": f"{ctx.input_data.weather}. Plan the day?"})
    if not ctx.resume_data.agreed:
        return ctx.bail("Then not.")
    return ctx.input_data.model_copy(update={"wish": ctx.resume_data.wish})


@step
async def plan(ctx: StepContext[Day]) -> str:
    day = ctx.input_data
    asked = f"Plan a day in {day.city}: {day.weather}. {day.wish}"
    async with ctx.mastra.get_agent("planner").stream(asked) as stream:
        await stream.pipe_to(ctx.writer)
        return await stream.text()


async def page() -> FileResponse:
    return FileResponse(HERE / "index.html", media_type="text/html")


async def script() -> FileResponse:
    return FileResponse(HERE / "dist" / "page.js", media_type="text/javascript")


def build(model: Any) -> Mastra:
    planner = Agent(id="planner", instructions="You plan days, in three short lines.", model=model)
    days = create_workflow(id="days", input_schema=Place, output_schema=str)
    days.then(look_outside).then(agree).then(plan).commit()
    own = {"/page": page, "/page.js": script}
    routes = [ApiRoute(path=path, method="GET", handler=answer) for path, answer in own.items()]
    server = ServerConfig(api_routes=[*routes, *workflow_route()])
    return Mastra(agents={"planner": planner}, workflows={"days": days}, server=server)


if __name__ == "__main__":
    serve(build(os.environ.get("MASTRA_MODEL", "local/smollm2-135m")))
