"""Which model is asked, and with which settings; what is neither is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, Fallback, ModelConfig
from mastra.agents.output import StructuredOutput
from mastra.errors import ConfigError, ModelError
from mastra.models.openai import OpenAIModel
from mastra.models.resolve import resolve_model
from mastra.models.settings import ModelSettings, Timeouts
from mastra.registry import Mastra
from mastra.testing import FakeClock, FunctionModel, ScriptedModel
from mastra.testing.models import model_failure
from tests.support.openai_server import OpenAIServer, text_reply


async def test_a_list_of_which_none_is_enabled_is_refused() -> None:
    agent = Agent(id="a", model=[Fallback("openai/gpt-4o", enabled=False)])
    with pytest.raises(ConfigError, match="None of the models in the list is enabled"):
        await agent.generate("hi")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "5 is not a model"),
        (object(), "is not a model"),
        (ModelConfig("nobody/m", api="native", url="http://127.0.0.1:1"), "no API is known here"),
        ("local/nothing", "There is no embedded model 'nothing'"),
    ],
)
def test_what_is_no_model_is_refused_with_words(value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_model(value)


async def test_an_address_without_a_scheme_is_told_of_where_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="It takes an address that begins with http"):
        ModelConfig("studio/m", url="localhost:1234/v1")
    for provider in ("openai", "anthropic", "gemini"):
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", "key")
        monkeypatch.setenv(f"{provider.upper()}_BASE_URL", "localhost:1234/v1")
        with pytest.raises(ConfigError, match=f"variable {provider.upper()}_BASE_URL"):
            await Agent(id="a", model=f"{provider}/m").generate("hi")
    with pytest.raises(ConfigError, match="look at its base URL"):
        await Agent(id="a", model=OpenAIModel("m", base_url="localhost:1234/v1")).generate("hi")


@pytest.mark.parametrize("provider", ["openai", "groq", "local"])
def test_a_provider_without_a_model_is_told_how_one_is_written(provider: str) -> None:
    with pytest.raises(ConfigError, match=f"'{provider}/"):
        resolve_model(provider)


async def test_a_key_out_of_a_file_is_taken_without_its_lines_end(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.queue(text_reply("hello"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\n")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url} ")
    assert (await Agent(id="a", model="openai/m").generate("hi")).text == "hello"
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    with pytest.raises(ConfigError, match="set the environment variable OPENAI_API_KEY"):
        await Agent(id="a", model="openai/m").generate("hi")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heat": 1}, "'heat' is not a model setting"),
        ({"timeout": {"whole": 5}}, "'whole' is not a time-out"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused_with_those_that_do(
    settings: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        ModelSettings.of(settings)


@pytest.mark.parametrize("given", [2, 2.0, {"total": 2}, Timeouts(total=2)])
def test_a_time_out_may_be_a_number(given: Any) -> None:
    assert ModelSettings.of({"timeout": given}).timeout == Timeouts(total=2)


async def test_settings_of_a_model_in_a_list_lie_under_those_of_the_call(
    server: OpenAIServer,
) -> None:
    async def choose(_: Any) -> Any:
        return Fallback(
            ModelConfig("x/m", url=server.url),
            settings={"temperature": 0.1, "top_p": 0.2},
            headers={"x-team": "blue"},
            provider_options={"x": {"user": "u", "tier": "low"}},
        )

    agent = Agent(id="a", model=choose)
    server.queue(text_reply("ok"))
    await agent.generate(
        "hi", model_settings={"temperature": 0.9}, provider_options={"x": {"tier": "high"}}
    )
    sent = server.requests[0]
    assert (sent["temperature"], sent["top_p"]) == (0.9, 0.2)
    assert (sent["user"], sent["tier"]) == ("u", "high")
    assert server.headers[0]["x-team"] == "blue"


class Busy(FunctionModel):
    def __init__(self) -> None:
        super().__init__(self._fail)

    def _fail(self, _: Any) -> str:
        raise model_failure("busy", status=503)


@pytest.mark.parametrize(
    ("of_agent", "of_entry", "of_call", "calls"),
    [
        (None, None, None, 3),
        (1, None, None, 2),
        (3, 0, None, 1),
        (0, 2, None, 3),
        (3, 2, 0, 1),
        (0, None, 1, 2),
    ],
)
async def test_whoever_is_nearest_to_a_call_says_how_often_it_is_tried_again(
    of_agent: int | None, of_entry: int | None, of_call: int | None, calls: int
) -> None:
    busy = Busy()
    models = [Fallback(busy, max_retries=of_entry), ScriptedModel("ok")]
    mastra = Mastra(agents=[Agent(id="a", model=models, max_retries=of_agent)], clock=FakeClock())
    settings = {"max_retries": of_call}
    result = await mastra.get_agent("a").generate("hi", model_settings=settings)
    assert (result.text, len(busy.requests)) == ("ok", calls)


async def test_an_agent_that_tries_once_has_its_second_model_tried_once() -> None:
    busy = Busy()
    agent = Agent(id="a", model=ScriptedModel("words"), max_retries=0)
    with pytest.raises(ModelError, match="busy"):
        await agent.generate("hi", structured_output=StructuredOutput(int, model=busy))
    assert len(busy.requests) == 1
