"""What was said before and is like what is asked, on every storage, by a real HTTP endpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ModelError
from mastra.memory import Memory, SemanticRecall
from mastra.memory.semantic import TextVectors
from mastra.models.embedding import resolve_embedder
from mastra.models.litellm import LiteLLMModel
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.models.resolve import ModelConfig
from mastra.registry import Mastra
from mastra.storage.in_process import InMemoryStorage
from mastra.storage.sql import SQLStorage
from mastra.testing.models import FunctionModel
from tests.support.openai_server import OpenAIServer, Reply, error_reply, openai_server

HERE: Any = {"thread": "t1", "resource": "ann"}
SUBJECTS = ("cat", "car", "cake")


def meaning(text: str) -> list[float]:
    """Return how much of each subject there is in a text."""
    return [text.lower().count(subject) + 0.01 for subject in SUBJECTS]


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with openai_server() as running:
        running.embed = meaning
        yield running


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    match request.param:
        case "memory":
            made: Any = InMemoryStorage()
        case "sqlite":
            made = SQLStorage(f"sqlite:///{tmp_path}/memory.db")
        case _:
            made = SQLStorage(request.getfixturevalue("postgres_url"))
    yield made
    await made.aclose()


def config(server: OpenAIServer) -> ModelConfig:
    return ModelConfig("own/embed-1", url=server.url, api_key="k")


def app(storage: Any, server: OpenAIServer, **options: Any) -> Agent:
    """Return an agent that numbers its answers, and remembers by meaning."""
    options = {"semantic_recall": {"top_k": 1}, "last_messages": 2, **options}
    memory = Memory(embedder=config(server), **options)
    model = FunctionModel(lambda _: f"Yes {len(model.requests)}")
    agent = Agent(id="a", model=model, memory=memory)
    return Mastra(agents={"a": agent}, storage=storage).get_agent("a")


def asked(agent: Agent) -> list[tuple[str, str]]:
    """Return what the model was last asked."""
    model: Any = agent.spec.model
    return [(message.role, message.text) for message in model.requests[-1].messages]


async def talk(agent: Agent, *texts: str, memory: Any = HERE) -> Any:
    for text in texts:
        result = await agent.generate(text, memory=memory)
    return result


async def test_older_messages_of_the_thread_come_back(storage: Any, server: OpenAIServer) -> None:
    agent = app(storage, server)
    await talk(agent, "My cat is Tom", "I like cake", "cake with cream")
    result = await talk(agent, "what is my cat called?")
    # The best match, with the message before it and the one after it; then the latest two.
    assert asked(agent) == [
        ("user", "My cat is Tom"),
        ("assistant", "Yes 1"),
        ("user", "cake with cream"),
        ("assistant", "Yes 3"),
        ("user", "what is my cat called?"),
    ]
    assert [message.text for message in result.remembered_messages] == [
        *("My cat is Tom", "Yes 1", "cake with cream", "Yes 3")
    ]


async def test_other_threads_are_told_of_in_the_instructions(
    storage: Any, server: OpenAIServer
) -> None:
    agent = app(storage, server)
    await talk(agent, "My cat is Tom", memory={"thread": "t0", "resource": "ann"})
    await talk(agent, "The cat of Bob", memory={"thread": "tb", "resource": "bob"})
    await talk(agent, "which cat?")
    [(role, told), last] = asked(agent)
    assert role == "system"
    assert "<remembered_from_other_conversation>" in told
    assert "User: My cat is Tom" in told
    assert "Bob" not in told
    assert last == ("user", "which cat?")


async def test_the_scope_may_be_the_thread(storage: Any, server: OpenAIServer) -> None:
    agent = app(storage, server, semantic_recall=SemanticRecall(top_k=1, scope="thread"))
    await talk(agent, "My cat is Tom", memory={"thread": "t0", "resource": "ann"})
    await talk(agent, "which cat?")
    assert asked(agent) == [("user", "which cat?")]


async def test_a_threshold_leaves_out_what_is_only_nearest(
    storage: Any, server: OpenAIServer
) -> None:
    agent = app(storage, server, semantic_recall={"topK": 2, "threshold": 0.9}, last_messages=False)
    await talk(agent, "My cat is Tom")
    await talk(agent, "about my car")
    assert asked(agent) == [("user", "about my car")]
    await talk(agent, "about my cat")
    assert asked(agent)[0] == ("user", "My cat is Tom")


async def test_the_range_around_a_match(storage: Any, server: OpenAIServer) -> None:
    recall = {"top_k": 1, "message_range": {"before": 2, "after": 0}}
    agent = app(storage, server, semantic_recall=recall, last_messages=False)
    await talk(agent, "one", "two", "a car", "three")
    memory = agent.spec.memory.bound_to(agent.mastra)
    found = await memory.recall(thread_id="t1", resource_id="ann", last=0, search="a car!")
    assert [message.text for message in found] == ["two", "Yes 2", "a car"]


async def test_a_message_is_embedded_once(storage: Any, server: OpenAIServer) -> None:
    agent = app(storage, server)
    await talk(agent, "My cat is Tom", "I like cake", "and my car")
    texts = [text for request in server.requests for text in request["input"]]
    assert sorted(texts) == sorted(set(texts))
    assert len(texts) == 6
    memory = agent.spec.memory.bound_to(agent.mastra)
    page = await memory.list_messages(thread_id="t1")
    count = len(server.requests)
    await Memory(embedder=config(server), semantic_recall=True, store=memory.store).store_messages(
        page.messages
    )
    assert len(server.requests) == count


async def test_a_text_that_was_changed_is_embedded_anew(storage: Any, server: OpenAIServer) -> None:
    memory = app(storage, server).spec.memory.bound_to(Mastra(storage=storage))
    await memory.create_thread(thread_id="t1", resource_id="ann")
    for text in ("a cat", "a car"):
        await memory.save_messages(
            [Message("user", text, id="m1")], thread_id="t1", resource_id="ann"
        )
    [(found, score)] = await memory.search("car", resource_id="ann")
    assert found.id == "m1"
    assert score > 0.99


async def test_deleted_messages_are_not_found(storage: Any, server: OpenAIServer) -> None:
    agent = app(storage, server, semantic_recall={"top_k": 4})
    await talk(agent, "My cat is Tom", "My cat is big")
    memory = agent.spec.memory.bound_to(agent.mastra)
    [first, *_] = (await memory.list_messages(thread_id="t1")).messages
    await memory.delete_messages([first.id])
    found = await memory.search("cat", resource_id="ann")
    assert len(found) == 3
    assert first.id not in {message.id for message, _ in found}
    await memory.delete_thread("t1")
    assert await memory.search("cat", resource_id="ann") == []


async def test_another_model_does_not_read_the_vectors(storage: Any, server: OpenAIServer) -> None:
    await talk(app(storage, server), "My cat is Tom")
    memory = Memory(
        semantic_recall=True,
        embedder=config(server),
        embedder_options={"dimensions": 3},
    ).bound_to(Mastra(storage=storage))
    assert await memory.search("cat", resource_id="ann") == []
    assert server.requests[-1]["dimensions"] == 3


async def test_a_search_keeps_to_its_thread(storage: Any, server: OpenAIServer) -> None:
    agent = app(storage, server)
    await talk(agent, "My cat is Tom")
    await talk(agent, "a cat", memory={"thread": "t2", "resource": "ann"})
    memory = agent.spec.memory.bound_to(agent.mastra)
    found = await memory.search("cat", thread_id="t2", top_k=9)
    assert {message.thread_id for message, _ in found} == {"t2"}


async def test_an_embedder_that_fails_costs_no_answer(
    server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    agent = app(InMemoryStorage(), server)
    server.queue(error_reply(400, "no"), error_reply(400, "no"))
    with caplog.at_level(logging.WARNING, "mastra"):
        result = await talk(agent, "My cat is Tom")
    assert result.text == "Yes 1"
    assert [record.getMessage()[:42] for record in caplog.records] == [
        "nothing is recalled by its meaning: own/em",
        "2 messages are stored and cannot be found ",
    ]
    page = await agent.spec.memory.bound_to(agent.mastra).list_messages(thread_id="t1")
    assert page.total == 2


async def test_read_only_memory_embeds_nothing_to_keep(server: OpenAIServer) -> None:
    agent = app(InMemoryStorage(), server, read_only=True)
    await talk(agent, "My cat is Tom")
    assert [request["input"] for request in server.requests] == [["My cat is Tom"]]


async def test_a_call_may_turn_it_off_or_widen_it(server: OpenAIServer) -> None:
    agent = app(InMemoryStorage(), server, last_messages=False)
    await talk(agent, "My cat is Tom", "car", "cat and car")
    off: Any = {**HERE, "options": {"semanticRecall": False}}
    await talk(agent, "which cat?", memory=off)
    assert asked(agent) == [("user", "which cat?")]
    wide: Any = {**HERE, "options": {"semanticRecall": {"topK": 9, "messageRange": 0}}}
    await talk(agent, "which cat?", memory=wide)
    assert len(asked(agent)) == 7


async def test_a_function_embeds() -> None:
    batches: list[list[str]] = []

    async def embed(texts: Any) -> Any:
        batches.append(list(texts))
        return [meaning(text) for text in texts]

    memory = Memory(semantic_recall=True, embedder=embed)
    await memory.create_thread(thread_id="t1", resource_id="ann")
    messages = [Message("user", text) for text in ("a cat", "a car", "")]
    await memory.save_messages(messages, thread_id="t1", resource_id="ann")
    assert batches == [["a cat", "a car"]]
    [(found, _)] = await memory.search("car", top_k=1)
    assert found.content["content"] == "a car"
    assert memory.to_wire()["semanticRecall"] == {
        "topK": 4,
        "messageRange": {"before": 1, "after": 1},
        "scope": "resource",
    }


def test_recall_without_an_embedder_is_refused() -> None:
    with pytest.raises(ConfigError, match="text-embedding-3-small"):
        Memory(semantic_recall=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_n": 3}, r"no option 'top_n'.*top_k"),
        ({"top_k": 0}, "1 or more"),
        ({"scope": "world"}, "'resource' or 'thread'"),
        ({"message_range": -1}, "from 0"),
        ({"message_range": {"around": 1}}, "from 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Memory(semantic_recall=options, embedder=meaning)


async def test_a_search_without_recall_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs semantic recall"):
        await Memory().search("cat")


async def test_many_texts_are_asked_for_in_parts_and_come_back_in_order(
    server: OpenAIServer,
) -> None:
    server.embed = lambda text: [float(text), 1.0]
    embedder = resolve_embedder(config(server))
    found = await embedder.embed([str(number) for number in range(200)])
    assert [vector[0] for vector in found] == [float(number) for number in range(200)]
    assert [len(request["input"]) for request in server.requests] == [96, 96, 8]
    assert server.paths == ["/v1/embeddings"] * 3
    assert server.headers[0]["authorization"] == "Bearer k"
    assert server.requests[0]["model"] == "embed-1"


async def test_a_long_text_is_cut(server: OpenAIServer) -> None:
    await resolve_embedder(config(server)).embed(["x" * 100_000])
    assert len(server.requests[0]["input"][0]) == 16_000


async def test_an_overloaded_provider_is_asked_again(server: OpenAIServer) -> None:
    server.queue(error_reply(429, retry_after="0"), error_reply(500, retry_after="0"))
    [vector] = await resolve_embedder(config(server)).embed(["a cat"])
    assert vector[0] == pytest.approx(1.01)
    assert len(server.requests) == 3


async def test_a_refusal_says_what_to_do(server: OpenAIServer) -> None:
    server.queue(error_reply(401, "bad key"))
    with pytest.raises(ModelError, match=r"own/embed-1 refused the API key.*bad key"):
        await resolve_embedder(config(server)).embed(["a cat"])


async def test_numbers_in_place_of_base64_are_read(server: OpenAIServer) -> None:
    server.queue(
        Reply(body={"object": "list", "data": [{"index": 0, "embedding": [1, 0.5]}], "model": "e"})
    )
    assert list((await resolve_embedder(config(server)).embed(["a"]))[0]) == [1, 0.5]


@pytest.mark.parametrize("body", [{"choices": []}, {"data": [{"index": 0}]}, {"data": []}, 7])
async def test_an_answer_without_vectors_is_an_error(server: OpenAIServer, body: Any) -> None:
    server.queue(Reply(body=body))
    memory = Memory(semantic_recall=True, embedder=config(server))
    with pytest.raises(ModelError, match="own/embed-1"):
        await memory.search("cat")


async def test_an_embedder_that_gives_too_few_is_an_error() -> None:
    memory = Memory(semantic_recall=True, embedder=lambda _: [])
    with pytest.raises(ModelError, match="gave 0 vectors for 1 texts"):
        await memory.search("cat")


async def test_what_an_embedder_raises_is_told_with_its_name() -> None:
    def broken(_: Any) -> Any:
        raise KeyError("weights")

    memory = Memory(semantic_recall=True, embedder=broken)
    with pytest.raises(ModelError, match=r"broken.*failed: 'weights'"):
        await memory.search("cat")


async def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    memory = Memory(semantic_recall=True, embedder="openai/text-embedding-3-small")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        await memory.search("cat")


def test_what_is_no_embedder_is_refused() -> None:
    odd: Any = 7
    for value in (odd, "local/smollm2-135m"):
        with pytest.raises(ConfigError, match=r"embedder|vectors"):
            Memory(embedder=value)
    with pytest.raises(ConfigError, match="embedder_options"):
        Memory(embedder=meaning, embedder_options={"dimensions": 3})


@pytest.mark.timeout(120)  # importing litellm takes seconds
@pytest.mark.filterwarnings("default")
async def test_other_providers_embed_through_litellm(server: OpenAIServer) -> None:
    model = LiteLLMModel("e", provider="mistral", api_key="k", base_url=server.url)
    assert list((await model.embeddings(["a cat"], {}))[0]) == pytest.approx([1.01, 0.01, 0.01])
    server.queue(error_reply(401, "bad key"))
    with pytest.raises(ModelError) as caught:
        await model.embeddings(["a cat"], {})
    assert caught.value.status_code == 401


def test_recall_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        SemanticRecall(top_k=0)
    with pytest.raises(ConfigError, match="'resource' or 'thread'"):
        SemanticRecall(scope="world")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_texts_that_are_forgotten_while_others_are_embedded_are_given() -> None:
    """What many say at once pushes out what one asks for, while it waits."""
    go_on = asyncio.Event()
    asked: list[str] = []

    async def embed(texts: Any) -> Any:
        asked.extend(texts)
        if "slow" in texts:
            await go_on.wait()
        return [[1.0, float(len(text))] for text in texts]

    texts = TextVectors(resolve_embedder(embed))
    known = await texts.of({"k": "kept"})

    async def others() -> None:
        await texts.of({str(number): f"text {number}" for number in range(300)})
        go_on.set()

    found, _ = await asyncio.gather(texts.of({"k": "kept", "s": "slow"}), others())
    assert set(found) == {"k", "s"}
    assert found["k"] == known["k"]
    asked.clear()
    await texts.of({"k": "kept", "299": "text 299"})
    assert asked == ["kept"], "the latest are kept, and what came before is asked for again"


async def test_a_message_without_words_is_not_told_of_from_elsewhere() -> None:
    memory = Memory(semantic_recall={"top_k": 1, "message_range": 1}, embedder=embed_subjects)
    agent = Agent(id="a", model=FunctionModel(lambda _: "ok"), memory=memory)
    call = ToolCallPart("c", "look", {})
    said = [
        Message("user", "a cat"),
        Message("assistant", (call, ToolResultPart("c", "look", "seen"))),
    ]
    await memory.create_thread(thread_id="t1", resource_id="ann")
    await memory.save_messages(said, thread_id="t1", resource_id="ann")
    await agent.generate("cat?", memory={"thread": "t2", "resource": "ann"})
    told = asked(agent)[0][1]
    assert told.count("Message from previous conversation") == 1
    assert "User: a cat" in told


async def embed_subjects(texts: Any) -> Any:
    return [meaning(text) for text in texts]


async def test_an_object_embeds() -> None:
    class Own:
        async def embed(self, texts: Any) -> Any:
            return [meaning(text) for text in texts]

    own = Own()
    assert resolve_embedder(own) is own
    memory = Memory(semantic_recall=True, embedder=own)
    await memory.create_thread(thread_id="t1", resource_id="ann")
    said = [Message("user", text) for text in ("a cat", "a car")]
    await memory.save_messages(said, thread_id="t1", resource_id="ann")
    [(found, _)] = await memory.search("car", top_k=1)
    assert found.content["content"] == "a car"
