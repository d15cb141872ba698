"""What is of another kind than an option takes is one clear error where it is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, NewType, cast

import inngest
import pytest
from pydantic import BaseModel, Field

from mastra import (
    Agent,
    ConfigError,
    Fallback,
    InMemoryStorage,
    InProcessEngine,
    Mastra,
    MastraError,
    ModelConfig,
    RequestContext,
    RetryConfig,
    ServerConfig,
    SQLStorage,
    StructuredOutput,
    create_step,
    create_tool,
    create_workflow,
    step,
    tool,
)
from mastra.a2a import A2AAgent
from mastra.evals import Dataset, Experiment, Judge, create_scorer
from mastra.inngest import InngestEngine
from mastra.memory import Memory, WorkingMemory
from mastra.observability import Observability
from mastra.schedules import SchedulerConfig
from mastra.schema import schema_of
from mastra.server import CorsConfig
from mastra.testing import ScriptedModel


class Odd:
    """Nothing that any option takes."""


class Number(BaseModel):
    value: int


def agent(**options: Any) -> Agent:
    return Agent(**{"id": "a", "model": ScriptedModel("x"), **options})


def workflow(**options: Any) -> Any:
    return create_workflow(**{"id": "w", "input_schema": None, "output_schema": None, **options})


def a_step(**options: Any) -> Any:
    return create_step(id="s", execute=lambda: 1, **options)


def a_scorer(**options: Any) -> Any:
    return create_scorer(**{"id": "s", "description": "d", **options})


def a_dataset(**options: Any) -> Any:
    return Dataset(**{"name": "d", "items": [{"input": 1}], **options})


def an_experiment(**options: Any) -> Any:
    return Experiment(**{"name": "e", "dataset": a_dataset(), "target": lambda x: x, **options})


def a_tool(**options: Any) -> Any:
    return create_tool("t", **{"description": "d", "execute": lambda: 1, **options})


def on_inngest(**options: Any) -> Any:
    client = inngest.Inngest(app_id="m", is_production=False)
    return InngestEngine(**{"client": client, **options})


def in_sql(**options: Any) -> Any:
    return SQLStorage(**{"url": "sqlite:///:memory:", **options})


TEXT, NUMBER, LIST, ODD = "3", 3, [1], Odd()
NO_FUNCTION = (TEXT, NUMBER, ODD)
NO_FLAG = (TEXT, NUMBER, 0, ODD)
NO_COUNT = (TEXT, 1.5, -1, True, ODD)
NO_MAPPING = (TEXT, NUMBER, LIST, ODD)
NO_TEXT = (NUMBER, LIST, ODD)
NO_SECONDS = (TEXT, -1, float("nan"), True, ODD)
NO_SCHEMA = (TEXT, NUMBER, LIST, ODD, Number(value=1))

REFUSED: dict[Callable[..., Any], dict[str, tuple[Any, ...]]] = {
    agent: {
        "name": NO_TEXT,
        "instructions": (NUMBER, 1.5),
        "model": (NUMBER, ODD, ""),
        "tools": (NUMBER, ODD),
        "agents": NO_MAPPING,
        "workflows": NO_MAPPING,
        "memory": (TEXT, NUMBER, {"last_messages": 3}),
        "description": NO_TEXT,
        "default_options": NO_MAPPING,
        "max_retries": NO_COUNT,
        "input_processors": NO_FUNCTION,
        "output_processors": NO_FUNCTION,
        "error_processors": NO_FUNCTION,
        "max_processor_retries": NO_COUNT,
        "metadata": NO_MAPPING,
        "hooks": NO_MAPPING,
        "durable": NO_FLAG,
        "cache_instructions": NO_FLAG,
        "scorers": NO_MAPPING,
        "request_context_schema": NO_SCHEMA,
    },
    Memory: {
        "store": (TEXT, NUMBER, ODD),
        "last_messages": (TEXT, True, -1, 1.5, ODD),
        "working_memory": (TEXT, NUMBER, ODD, {"tmplate": "x"}),
        "generate_title": (NUMBER, ODD),
        "read_only": NO_FLAG,
        "semantic_recall": (TEXT, NUMBER, ODD),
        "embedder_options": NO_MAPPING,
        "vectors": (TEXT, NUMBER, ODD),
    },
    WorkingMemory: {"template": NO_TEXT, "scope": ("all", NUMBER), "enabled": NO_FLAG},
    Mastra: {
        "agents": (TEXT, NUMBER, ODD, LIST),
        "workflows": (TEXT, NUMBER, ODD, LIST),
        "storage": (TEXT, NUMBER, ODD),
        "engine": (TEXT, NUMBER, ODD),
        "server": (TEXT, NUMBER, ODD, {"port": 1}),
        "logger": (TEXT, NUMBER, ODD),
        "mcp_servers": (*NO_MAPPING, {"m": Odd()}),
        "scheduler": (TEXT, NUMBER, ODD, {"enabled": True}),
        "clock": (TEXT, NUMBER, ODD),
        "ids": (TEXT, NUMBER, ODD),
    },
    Observability: {
        "capture_content": NO_FLAG,
        "traces": NO_FLAG,
        "logs": NO_FLAG,
        "retention_s": (*NO_SECONDS, 0),
        "tracer_provider": (TEXT, NUMBER, ODD),
    },
    CorsConfig: {
        "origins": (TEXT, NUMBER, LIST, ODD),
        "credentials": NO_FLAG,
        "allow_headers": (TEXT, NUMBER, LIST, ODD),
        "expose_headers": (TEXT, NUMBER, LIST, ODD),
        "max_age": NO_COUNT,
    },
    a_scorer: {
        "id": (*NO_TEXT, ""),
        "description": NO_TEXT,
        "name": NO_TEXT,
        "type": ("agents", NUMBER),
        "judge": ({"instructions": "x"}, {"model": "m", "max_steps": 0}),
        "prepare_run": NO_FUNCTION,
    },
    Judge: {
        "instructions": NO_TEXT,
        "model_settings": NO_MAPPING,
        "max_steps": NO_COUNT,
        "json_prompt_injection": ("always", NUMBER),
    },
    a_dataset: {
        "name": (*NO_TEXT, ""),
        "items": (TEXT, NUMBER, ODD, {"input": 1}),
        "id": NO_TEXT,
        "description": NO_TEXT,
        "metadata": NO_MAPPING,
    },
    an_experiment: {
        "name": NO_TEXT,
        "dataset": (TEXT, NUMBER, [{"input": 1}], ODD),
        "concurrency": (*NO_COUNT, 0),
        "repeats": (*NO_COUNT, 0),
        "max_retries": NO_COUNT,
        "item_timeout_s": NO_SECONDS,
        "mastra": (TEXT, NUMBER, ODD),
        "storage": (TEXT, NUMBER, ODD),
        "target_options": NO_MAPPING,
        "description": NO_TEXT,
        "metadata": NO_MAPPING,
        "resource_id": NO_TEXT,
    },
    SchedulerConfig: {"enabled": NO_FLAG, "tick_interval": NO_SECONDS, "batch_size": NO_COUNT},
    workflow: {
        "input_schema": NO_SCHEMA,
        "output_schema": NO_SCHEMA,
        "state_schema": NO_SCHEMA,
        "version": (1.5, True, ODD),
        "description": NO_TEXT,
        "retry_config": (TEXT, NUMBER, ODD, {"attempts": "3"}),
        "on_start": NO_FUNCTION,
        "on_finish": NO_FUNCTION,
        "on_error": NO_FUNCTION,
        "should_persist_snapshot": NO_FUNCTION,
        "validate_inputs": NO_FLAG,
        "validate_outputs": NO_FLAG,
        "metadata": NO_MAPPING,
        "scorers": NO_MAPPING,
        "strict": NO_FLAG,
    },
    a_step: {
        "retries": NO_COUNT,
        "description": NO_TEXT,
        "metadata": NO_MAPPING,
        "scorers": NO_MAPPING,
        "input_schema": NO_SCHEMA,
        "resume_schema": NO_SCHEMA,
    },
    a_tool: {
        "description": NO_TEXT,
        "require_approval": (TEXT, NUMBER, ODD),
        "to_model_output": NO_FUNCTION,
        "strict": NO_FLAG,
        "title": NO_TEXT,
        "provider_options": NO_MAPPING,
        "has_effect": NO_FLAG,
        "output_schema": NO_SCHEMA,
    },
    RetryConfig: {
        "attempts": NO_COUNT,
        "delay": NO_SECONDS,
        "backoff": (float("nan"), True, "quick"),
        "max_delay": NO_SECONDS,
    },
    in_sql: {"url": NO_TEXT, "lease_s": NO_SECONDS, "clock": (TEXT, ODD)},
    InMemoryStorage: {"max_ended_runs": NO_COUNT, "clock": (TEXT, ODD)},
    InProcessEngine: {"max_recoveries": NO_COUNT, "clock": (TEXT, ODD), "ops": NO_FUNCTION},
    on_inngest: {
        "client": (TEXT, ODD),
        "checkpoint": NO_FLAG,
        "max_request": NO_SECONDS,
        "buffered_steps": NO_COUNT,
        "watched": NO_FLAG,
    },
    ServerConfig: {
        "host": NO_TEXT,
        "port": (TEXT, -1, 65536, True),
        "api_prefix": NO_TEXT,
        "cors": (TEXT, True, ODD),
        "allowed_hosts": (TEXT, LIST),
        "middleware": (TEXT, NUMBER, ODD),
        "api_routes": (TEXT, NUMBER, ODD),
        "allowed_models": (TEXT, LIST),
        "caller_instructions": (TEXT, True),
        "body_size_limit": NO_COUNT,
        "receive_timeout": NO_SECONDS,
        "timeout": NO_SECONDS,
        "restart_runs": NO_FLAG,
        "openapi": NO_FLAG,
        "on_error": NO_FUNCTION,
    },
    ModelConfig: {"id": NO_TEXT, "url": NO_TEXT, "headers": NO_MAPPING, "api": ("soap", True)},
    Fallback: {"model": (NUMBER, ODD), "max_retries": NO_COUNT, "enabled": NO_FLAG},
    StructuredOutput: {
        "schema": NO_SCHEMA,
        "error_strategy": ("ignore", True),
        "json_prompt_injection": (TEXT, 1),
        "strict": NO_FLAG,
    },
}
NEEDED: dict[Any, dict[str, Any]] = {
    ModelConfig: {"id": "openai/x"},
    Fallback: {"model": "openai/x"},
    Judge: {"model": "openai/x"},
    StructuredOutput: {"schema": Number},
}
CASES = [
    pytest.param(make, name, id=f"{make.__name__}-{name}")
    for make, options in REFUSED.items()
    for name in options
]


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_value_of_another_kind_is_refused(make: Any, name: str) -> None:
    for value in REFUSED[make][name]:
        with pytest.raises(MastraError):
            make(**{**NEEDED.get(make, {}), name: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda: SQLStorage(cast("Any", None)),
        lambda: ModelConfig(cast("Any", None)),
        lambda: A2AAgent(cast("Any", None), id="a"),
        lambda: InngestEngine(cast("Any", None)),
    ],
    ids=["SQLStorage", "ModelConfig", "A2AAgent", "InngestEngine"],
)
def test_what_nothing_works_without_is_told_of_where_it_is_none(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"is None\. It takes .* the variable is not set"):
        make()


CALLS = {
    "max_steps": (TEXT, True),
    "stop_when": (TEXT, NUMBER),
    "toolsets": NO_MAPPING,
    "client_results": (TEXT, NUMBER),
    "model": (NUMBER, ODD),
    "instructions": (NUMBER,),
    "memory": (
        "t1",
        {"thread": 5},
        {"thread": {"title": "x"}},
        {"thread": "t", "resource": 5},
        {"thread": "", "resource": "r"},
    ),
    "request_context": (TEXT, NUMBER, LIST, {1: 2}),
    "prepare_step": NO_FUNCTION,
    "on_finish": NO_FUNCTION,
    "abort_signal": (TEXT, ODD),
    "require_tool_approval": (TEXT, NUMBER),
    "input_processors": (TEXT, ODD),
    "provider_options": NO_MAPPING,
    "include_raw_chunks": NO_FLAG,
    "run_id": ("", NUMBER, "a\0b", "\ud800", "x" * 256),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_of_an_agent_refuses_it(name: str) -> None:
    for value in CALLS[name]:
        with pytest.raises(MastraError):
            await agent().generate("go", **{name: value})


async def test_calls_of_a_run_refuse_it() -> None:
    flow = workflow().then(a_step()).commit()
    for options in ({"request_context": 3}, {"request_context": {1: 2}}, {"per_step": "no"}):
        with pytest.raises(MastraError):
            await (await flow.create_run()).start(**options)
    run = await flow.create_run()
    for answer in ({"label": 3}, {"for_each_index": "0"}, {"for_each_index": -1}):
        with pytest.raises(MastraError, match=next(iter(answer))):
            await run.resume("yes", **answer)
    assert (await run.start()).unwrap() == 1


async def test_an_agent_without_memory_takes_no_options_of_one() -> None:
    asked: dict[str, Any]
    for asked in ({"options": {"last_messages": 3}}, {"save_per_step": True}):
        with pytest.raises(MastraError, match="has no memory"):
            await agent().generate("go", memory={"thread": "t", "resource": "r", **asked})


async def test_an_agent_without_memory_says_that_it_remembers_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = agent(id="forgetful", model=ScriptedModel("x", "y"))
    for _ in range(2):
        await made.generate("go", memory={"thread": "t", "resource": "r"})
    assert caplog.text.count("has no memory and remembers nothing") == 1


def test_what_can_be_meant_is_taken() -> None:
    Memory(last_messages=False, generate_title="openai/x", working_memory={"template": "x"})
    RetryConfig(attempts=3, delay=timedelta(seconds=1), backoff="exponential")
    workflow(version=2, retry_config={"attempts": 1}, state_schema=dict[str, Any])
    agent(instructions=["a", "b"], tools=[lambda: 1], model=["openai/x", Fallback("openai/y")])
    assert RequestContext({"a": 1}).get("a") == 1


JSON_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
NO_JSON_SCHEMA: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "a tool": (
        lambda **options: create_tool("t", "T.", execute=lambda data: data, **options),
        ("output_schema", "suspend_schema", "resume_schema", "request_context_schema"),
    ),
    "@tool": (
        lambda **options: tool(**options)(lambda n: n),
        ("output_schema", "suspend_schema", "resume_schema"),
    ),
    "a step": (
        a_step,
        ("input_schema", "output_schema", "suspend_schema", "resume_schema", "state_schema"),
    ),
    "@step": (lambda **options: step(**options)(lambda ctx: 1), ("resume_schema",)),
    "a workflow": (
        workflow,
        ("input_schema", "output_schema", "state_schema", "request_context_schema"),
    ),
    "an agent": (agent, ("request_context_schema",)),
    "notes": (WorkingMemory, ("schema",)),
}


@pytest.mark.parametrize(
    ("made", "name"),
    [(made, name) for made, (_, names) in NO_JSON_SCHEMA.items() for name in names],
)
def test_a_json_schema_that_nothing_would_be_checked_by_is_refused(made: str, name: str) -> None:
    make, _ = NO_JSON_SCHEMA[made]
    for given in (JSON_SCHEMA, {}):
        with pytest.raises(MastraError, match="type that pydantic can validate"):
            make(**{name: given})


def test_a_tool_may_show_a_json_schema_of_its_input() -> None:
    made = create_tool("t", "T.", JSON_SCHEMA, execute=lambda data: data)
    assert made.input_json_schema == JSON_SCHEMA


def test_types_are_schemas() -> None:
    Named = NewType("Named", str)
    for type_ in (int, None, Number, list[int], int | None, Literal["a"], Named, Any, object):
        schema_of(type_).compile()
    schema_of(Annotated[int, Field(gt=1)]).compile()
