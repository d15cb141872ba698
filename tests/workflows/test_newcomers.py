"""What somebody new gets wrong, and what the answer says."""

from __future__ import annotations

import asyncio
import functools
import inspect
from importlib import import_module
from itertools import count
from types import CoroutineType
from typing import Any, cast

import anyio
import pytest

import mastra
from mastra import (
    Agent,
    ConfigError,
    InMemoryStorage,
    Mastra,
    MastraError,
    ModelConfig,
    RequestContext,
    RetryConfig,
    ServerConfig,
    StepContext,
    WorkflowDefinitionError,
    create_step,
    create_tool,
    create_workflow,
    step,
    tool,
)
from mastra.memory import Memory
from mastra.names import python_names
from mastra.testing import ScriptedModel


@step
async def inc(n: int) -> int:
    """Add one."""
    return n + 1


def flow(id: str = "w", **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=None, **options)


def agent(id: str = "a") -> Agent:
    return Agent(id=id, name=f"{id} by name", model=ScriptedModel("x"))


_numbers = count()


def numbered(value: Any) -> str:
    """Name a case that has no name of its own."""
    return value if isinstance(value, str) else str(next(_numbers))


# -- lists -------------------------------------------------------------------------------------


def test_lists_are_keyed_by_id() -> None:
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    app = Mastra(
        workflows=[flow("one").then(inc).commit(), flow("two").then(inc).commit()],
        agents=(agent("a"), agent("b")),
        tools=[add],
    )
    assert list(app.list_workflows()) == ["one", "two"]
    assert list(app.list_agents()) == ["a", "b"]
    assert list(app.list_tools()) == ["add"]
    assert app.get_agent("a").id == "a"


def test_two_of_a_list_with_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="two agents with the id 'a'"):
        Mastra(agents=[agent("a"), agent("a")])
    with pytest.raises(ConfigError, match="two workflows with the id 'w'"):
        Mastra(workflows=[flow().then(inc).commit(), flow().then(inc).commit()])


@pytest.mark.parametrize("given", ["text", 5, agent()])
def test_what_is_neither_a_dict_nor_a_list_is_named(given: Any) -> None:
    with pytest.raises(ConfigError, match="takes a dict of key to agent, or a list"):
        Mastra(agents=given)


# -- TypeScript's names ------------------------------------------------------------------------

ORIGINALS: dict[str, Any] = {"inputSchema": int, "outputSchema": int}


def _import() -> Any:
    from mastra import createStep

    return createStep


def _context(ctx: Any) -> Any:
    return ctx.inputData


@pytest.mark.parametrize(
    ("call", "python"),
    [
        (lambda: Mastra().getWorkflow, "get_workflow"),
        (lambda: Mastra().getAgentById, "get_agent_by_id"),
        (lambda: Mastra().getWorkflows, "list_workflows"),
        (lambda: flow().then(inc).commit().createRun, "create_run"),
        (lambda: flow().inputSchema, "input_schema"),
        (lambda: agent().asStep, "as_step"),
        (lambda: Mastra(mcpServers={}), "mcp_servers"),
        (lambda: flow(inputSchema=int), "input_schema"),
        (lambda: flow(retryConfig={}), "retry_config"),
        (lambda: create_workflow(id="w", **ORIGINALS), "input_schema"),
        (lambda: create_step(id="s", inputSchema=int, execute=_import), "input_schema"),
        (lambda: step(outputSchema=int)(_import), "output_schema"),
        (lambda: create_tool("t", "d", inputSchema=int), "input_schema"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), maxRetries=1), "max_retries"),
        (lambda: agent().stream("x", maxSteps=1), "max_steps"),
        (lambda: ServerConfig(apiRoutes=[]), "api_routes"),
        (lambda: Memory(lastMessages=3), "last_messages"),
        (lambda: agent().generate_sync("x", output=int), "structured_output"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), system_prompt="x"), "instructions"),
        (lambda: agent().generate_sync(prompt="x"), "messages"),
        (lambda: agent().generate_sync("x", thread_id="t"), "memory"),
        (lambda: agent().run, "generate"),
        (lambda: agent().invoke, "generate"),
        (lambda: flow().then(inc).commit().start, "create_run"),
        (lambda: flow().then(inc).compile, "commit"),
        (lambda: agent().generate_sync("x").content, "text"),
        (lambda: flow().branch([], firstMatch=True), "first_match"),
        (lambda: Agent(id="a", llm=ScriptedModel("x")), "model"),
        (lambda: ModelConfig("x/m", baseURL="http://x"), "url"),
        (lambda: make_tool(name="t"), "id"),
        (lambda: Memory(storage=InMemoryStorage()), "store"),
        (lambda: mastra.createWorkflow, "create_workflow"),
        (lambda: Mastra().getStorage, "storage"),
        (lambda: Mastra().shutdown, "aclose"),
        (lambda: Mastra().agents, "list_agents"),
        (lambda: agent().tools, "list_tools"),
        (lambda: agent().instructions, "get_instructions"),
        (lambda: agent().stream("x").consumeStream, "consume"),
        (lambda: flow().then(inc).commit().listWorkflowRuns, "list_runs"),
        (lambda: RequestContext().entries, "items"),
        (_import, "create_step"),
    ],
    ids=numbered,
)
def test_names_of_typescript_and_of_other_libraries_are_answered_with_pythons(
    call: Any, python: str
) -> None:
    with pytest.raises((AttributeError, ImportError, TypeError, ConfigError), match=rf"'{python}'"):
        call()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("from mastra import Memory", "from mastra.memory import Memory"),
        ("from mastra import create_app", "from mastra.server import create_app"),
        ("from mastra.agents import Agent", "from mastra import Agent"),
        ("from mastra.tools import create_tool", "from mastra import create_tool"),
        ("from mastra.workflows import create_step", "from mastra import create_step"),
        ("from mastra.memory import Mastra", "from mastra import Mastra"),
        ("from mastra.server import createApp", "'create_app'"),
        ("from mastra.testing import ScriptModel", "'ScriptedModel'"),
        ("from mastra import LibSQLStore", "'SQLStorage'"),
    ],
)
def test_a_name_that_is_elsewhere_is_shown_there(code: str, told: str) -> None:
    with pytest.raises(ImportError, match=told):
        exec(code, {})


@pytest.mark.parametrize(("package", "name"), [("tools", "tool"), ("workflows", "step")])
def test_a_module_named_like_its_function_says_where_that_is(package: str, name: str) -> None:
    module = getattr(import_module(f"mastra.{package}"), name)
    for call in (lambda: module(inc), lambda: module(id="other"), module):
        with pytest.raises(ConfigError, match=f"is a module. Write `from mastra import {name}`"):
            call()


def test_modules_that_are_there_are_imported() -> None:
    names: dict[str, Any] = {}
    exec("from mastra import memory, tools; from mastra.agents import chunks, durable", names)
    assert names["memory"].Memory is Memory
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from mastra import nothing", {})
    with pytest.raises(AttributeError, match=r"no attribute 'studio'$"):
        mastra.studio  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


async def test_typescript_names_on_a_run_and_its_context() -> None:
    workflow = flow().then(create_step(id="s", execute=_context)).commit()
    run = await workflow.create_run()
    with pytest.raises(TypeError, match="'input_data'"):
        await run.start(inputData=1)
    with pytest.raises(AttributeError, match="'run_id'"):
        run.runId  # noqa: B018
    result = await run.start(1)
    assert "'input_data'" in str(result.error)
    with pytest.raises(AttributeError, match="'step_execution_path'"):
        result.stepExecutionPath  # noqa: B018


def test_other_mistakes_keep_pythons_own_answer() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        Mastra().nothing  # noqa: B018
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'nothing'$"):
        Mastra(nothing=1)
    assert not hasattr(Mastra(), "getWorkflow")
    assert RetryConfig(attempts=1).attempts == 1


# -- functions that cannot be called as they will be --------------------------------------------


class Whole:
    def __call__(self) -> bool:
        return True

    def method(self) -> bool:
        return True

    def fitting(self, ctx: Any) -> bool:
        return ctx is not None


def two(ctx: Any, more: Any) -> bool:
    return ctx is more


async def none_async() -> bool:
    return True


BAD = [
    lambda: True,
    two,
    lambda ctx, more, n=1: True,
    none_async,
    Whole(),
    Whole().method,
    functools.partial(two, 1, 2),
    lambda *, ctx: True,
]
GOOD = [
    lambda ctx: True,
    lambda ctx, n=1: True,
    lambda *args: True,
    functools.partial(two, 1),
    functools.partial(two, more=2),
    Whole().fitting,
    bool,
]
PLACES: dict[str, Any] = {
    "a branch": lambda f: flow().branch([(f, inc)]),
    "the dountil": lambda f: flow().dountil(inc, f),
    "the dowhile": lambda f: flow().dowhile(inc, f),
    "Map": lambda f: flow().map(f),
    "key 'a'": lambda f: flow().map({"a": {"fn": f}}),
    "key 'b'": lambda f: flow().map({"b": f}),
    "sleep_w_0": lambda f: flow().sleep(f),
    "'till'": lambda f: flow().sleep_until(f, id="till"),
    "`concurrency`": lambda f: flow().map(lambda ctx: [ctx.input_data]).foreach(inc, concurrency=f),
    "`on_start`": lambda f: flow(on_start=f).then(inc),
    "`on_finish`": lambda f: flow(on_finish=f).then(inc),
    "`on_error`": lambda f: flow(on_error=f).then(inc),
    "`should_persist_snapshot`": lambda f: flow(should_persist_snapshot=f).then(inc),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("function", BAD, ids=numbered)
def test_a_function_of_another_arity_is_refused_at_commit(place: str, function: Any) -> None:
    workflow = PLACES[place](function)
    with pytest.raises(WorkflowDefinitionError, match="called with one argument") as raised:
        workflow.commit()
    assert place in str(raised.value)
    assert raised.value.code == "WORKFLOW_FUNCTION_ARITY"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("function", GOOD, ids=numbered)
def test_a_function_that_can_be_called_is_accepted(place: str, function: Any) -> None:
    PLACES[place](function).commit()


def yields(ctx: Any) -> Any:
    yield False


async def yields_slowly(ctx: Any) -> Any:
    yield False


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "function", [yields, yields_slowly, functools.partial(yields)], ids=numbered
)
def test_a_function_that_yields_is_refused_at_commit(place: str, function: Any) -> None:
    """A condition that yields `False` held, and nothing of a callback ran."""
    workflow = PLACES[place](function)
    with pytest.raises(
        WorkflowDefinitionError, match="yields, so that calling it runs nothing"
    ) as it:
        workflow.commit()
    assert place in str(it.value)


# -- what a step's function takes -----------------------------------------------------------------


async def given(function: Any, value: Any = "Lima") -> Any:
    workflow = create_workflow(id="w", input_schema=None, output_schema=None)
    workflow.then(create_step(id="s", execute=function)).commit()
    return (await (await workflow.create_run()).start(value)).unwrap()


class Place:
    def plain(self, city: str = "Berlin") -> str:
        return city

    async def __call__(self, city: str = "Berlin") -> str:
        return city


def kept(city: str, days: int = 3) -> str:
    return f"{city} {days}"


def of_context(ctx: StepContext[str], city: str = "Berlin") -> str:
    return f"{ctx.input_data} {city}"


def late_context(n: int = 7, *, ctx: "StepContext[str] | None" = None) -> str:  # noqa: UP037
    assert ctx is not None
    return f"{ctx.input_data} {n}"


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (lambda city="Berlin": city, "Lima"),
        (lambda *, city="Berlin": city, "Lima"),
        (lambda *args: args[0], "Lima"),
        (lambda **_rest: len(_rest), 0),
        (lambda ctx, n=7: f"{ctx.input_data} {n}", "Lima 7"),
        (lambda n=7, *, ctx: f"{ctx.input_data} {n}", "Lima 7"),
        (lambda city="Berlin", *, days=3: f"{city} {days}", "Lima 3"),
        (Place().plain, "Lima"),
        (Place(), "Lima"),
        (kept, "Lima 3"),
        (functools.partial(kept, days=5), "Lima 5"),
        (functools.partial(kept, city="Oslo", days=3), "Oslo 3"),
        (functools.partial(Place.plain, Place()), "Lima"),
        (of_context, "Lima Lima"),
        (functools.partial(of_context, city="Oslo"), "Lima Oslo"),
    ],
    ids=numbered,
)
async def test_an_input_is_never_ignored(function: Any, result: Any) -> None:
    assert await given(function) == result


async def test_an_annotated_parameter_beside_a_context_gets_the_input() -> None:
    assert await given(late_context, 4) == "4 4"


@pytest.mark.parametrize(
    "function",
    [lambda a, b: a, lambda a=1, b=2: a, lambda ctx, a, b: a, lambda *, a, b: a],
    ids=numbered,
)
def test_two_inputs_are_refused(function: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="make one model or dict"):
        create_step(id="s", execute=function)


def test_a_partial_is_named_after_its_function() -> None:
    made = create_step(execute=functools.partial(kept, days=1))
    assert (made.id, made.input_schema.type) == ("kept", str)


# -- what would be left out without a word ----------------------------------------------------------


def ask(**options: Any) -> Any:
    return agent().generate_sync("x", **options)


def make_tool(**options: Any) -> Any:
    return create_tool("t", "d", execute=lambda value: value, **options)


async def only_keywords(**values: Any) -> int:
    return len(values)


async def wants_step_context(ctx: StepContext[Any], city: str) -> str:
    return city


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Agent(id="a", modle=ScriptedModel("x")), "Did you mean 'model'"),
        (lambda: flow(input_schem=int), "'input_schem'.*Did you mean 'input_schema'"),
        (lambda: Mastra(agent={}), "Did you mean 'agents'"),
        (lambda: ServerConfig(prot=1), "Did you mean 'port'"),
        (lambda: make_tool(require_aproval=True), "Did you mean 'require_approval'"),
        (lambda: ask(max_step=1), "Did you mean 'max_steps'"),
        (lambda: ask(memory={"thred": "t"}), "Did you mean 'thread'"),
        (lambda: ask(memory="t"), "'thread': …"),
        (lambda: ask(tool_choice="atuo"), "Did you mean 'auto'"),
        (lambda: ask(active_tools="add"), r"\['add'\]"),
        (lambda: ask(max_steps="3"), "max_steps is '3'"),
        (lambda: ask(max_steps=0), "max_steps is 0"),
        (lambda: ask(temperature=1), r"goes into model_settings=\{'temperature': …\}"),
        (
            lambda: Agent(id="a", model=ScriptedModel("x"), maxSteps=1),
            r"default_options=\{'max_steps'",
        ),
        (
            lambda: Agent(id="a", model=ScriptedModel("x"), temperature=1),
            r"\{'model_settings': \{'temp",
        ),
        (lambda: Memory(options={"lastMessages": 1}), r"one by one: Memory\(last_messages=…"),
        (lambda: ask(model_settings={"temprature": 1}), "Did you mean 'temperature'"),
        (
            lambda: ask(model_settings={"temperature": "hot"}),
            "temperature is 'hot'. It takes a number",
        ),
        (lambda: ask(model_settings={"max_tokens": "9"}), "max_output_tokens is '9'"),
        (lambda: ask(structured_output={"city": str}), "no types of Python"),
        (
            lambda: create_tool("t", "d", {"city": str}),
            "Tool 't': input_schema is .*no types of Python",
        ),
        (lambda: Agent(id="a", model=ScriptedModel("x"), tools="add"), "tools is 'add', a text"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), tools=[Place]), "Place is a class"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), tools=[agent()]), r"agents=\{…\}"),
        (
            lambda: Agent(id="a", model=ScriptedModel("x"), tools=[flow().then(inc).commit()]),
            r"workflows=\{…\}",
        ),
        (lambda: flow().then(cast("Any", Place)), "Place is a class"),
        (lambda: [0 for _ in cast("Any", agent().stream("x"))], "async for"),
        (lambda: Agent(id=cast("Any", 5), model=ScriptedModel("x")), "id is text"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), memory=True), r"memory=Memory\(\)"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), memory=Memory), r"memory=Memory\(\)"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), tools=cast("Any", make_tool())), "tools="),
        (lambda: make_tool(require_approval="no"), "True, False, or a function"),
        (lambda: create_tool("", "d", execute=lambda value: value), "not empty"),
        (lambda: create_tool("t", "d", execute=only_keywords), r"\*\*values"),
        (lambda: create_tool("t", "d", execute=wants_step_context), "ToolContext"),
        (lambda: create_step(id="s", execute=only_keywords), r"only \*\*values"),
        (lambda: Mastra(storage=cast("Any", "sqlite:///x.db")), "SQLStorage"),
        (lambda: Mastra(storage=cast("Any", InMemoryStorage)), "InMemoryStorage"),
        (lambda: Mastra(engine=cast("Any", "inngest")), "InngestEngine"),
        (lambda: Mastra(server={"port": 1}), "ServerConfig"),
        (lambda: Mastra(agents={"a": cast("Any", Agent)}), "must be an Agent"),
        (lambda: Mastra(agents=[cast("Any", Agent)]), "the class Agent"),
        (lambda: Mastra(workflows=[cast("Any", agent())]), r"Mastra\(agents="),
        (lambda: Mastra(agents=[cast("Any", flow())]), r"Mastra\(workflows="),
        (lambda: cast("Any", Mastra)(agent()), "It takes: agents=, workflows="),
        (lambda: cast("Any", Agent)("a", "openai/gpt-4o"), "It takes: id=, name="),
        (lambda: cast("Any", flow()).parallel(inc, inc), "It takes: steps"),
        (lambda: cast("Any", flow()).then(inc, inc), "It takes: step"),
        (lambda: flow().then(cast("Any", [inc, inc])), r"\.parallel\("),
        (lambda: flow().then(cast("Any", Agent)), "Agent is a class"),
        (lambda: cast("Any", step)("price"), r"@step\(id='price'\)"),
        (lambda: cast("Any", step)(inc), "a step already"),
        (lambda: step(Place), "not of <class"),
        (lambda: cast("Any", tool)("price"), r"@tool\(id='price'\)"),
        (lambda: tool(Place), "Place is a class"),
        (lambda: cast("Any", tool)(tool(kept)), "a tool already"),
        (lambda: Agent(id="a", model=cast("Any", None)), "model of agent 'a' is None"),
        (lambda: Agent(id="a", model=cast("Any", ScriptedModel)), "the class ScriptedModel"),
        (lambda: Agent(id="a", model=ScriptedModel("x"), tools=kept), r"tools=\[kept\]"),
        (lambda: Agent(id="a", model="gpt-4o").generate_sync("x"), "'openai/gpt-4o'"),
        (lambda: Agent(id="a", model="local").generate_sync("x"), "'local/smollm2"),
        (
            lambda: Agent(id="a", model="claude-sonnet").generate_sync("x"),
            "'anthropic/claude-sonnet'",
        ),
        (lambda: Agent(id="a", model="openai:gpt-4o").generate_sync("x"), "'openai/gpt-4o'"),
        (lambda: Agent(id="a", model="OpenAI/gpt-4o").generate_sync("x"), "mean 'openai'"),
        (lambda: flow().parallel(cast("Any", inc)), r"parallel\(\[first, second\]\)"),
        (lambda: flow().branch(cast("Any", [inc])), "pair of a condition and a step"),
        (lambda: flow().branch(cast("Any", inc)), "takes a list"),
        (lambda: flow().foreach(inc, concurrency=cast("Any", "3")), "1 or more"),
        (lambda: flow().map(cast("Any", inc)), r"\.then\("),
        (lambda: flow().then(inc).commit().create_run_sync(""), "not empty"),
        (lambda: flow().then(inc).commit().create_run_sync(cast("Any", 5)), "run_id is 5"),
    ],
    ids=numbered,
)
def test_what_cannot_be_meant_is_told_at_once(call: Any, told: str) -> None:
    with pytest.raises((TypeError, MastraError), match=told):
        call()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"status": "runing"}, "Did you mean 'running'"),
        ({"status": ["success", 5]}, "no status 5"),
        ({"page": -1}, "page is -1"),
        ({"per_page": "10"}, "per_page is '10'"),
    ],
)
async def test_a_list_that_cannot_be_meant_is_refused(options: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        await flow().then(inc).commit().list_runs(**options)


async def test_who_drops_the_input_on_purpose_may() -> None:
    async def fixed(**_: Any) -> int:
        return 3

    workflow = flow().then(create_step(id="s", execute=fixed)).commit()
    assert (await (await workflow.create_run()).start(1)).unwrap() == 3


# -- a forgotten `await` ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "name"),
    [
        (lambda: agent().generate("x"), "generate"),
        (lambda: flow().then(inc).commit().create_run(), "create_run"),
        (lambda: flow().then(inc).commit().create_run_sync().start(1), "start"),
        (lambda: flow().then(inc).commit().list_runs(), "list_runs"),
        (lambda: Memory().create_thread(resource_id="r"), "create_thread"),
        (lambda: agent().stream("x").text(), "text"),
    ],
    ids=numbered,
)
def test_what_was_not_awaited_says_so(begin: Any, name: str) -> None:
    pending = begin()
    with pytest.raises(AttributeError, match=rf"{name}\(\) was not awaited: write `await"):
        pending.anything  # noqa: B018
    assert f"{name}() was not awaited" in repr(pending)
    assert ("_sync" in repr(pending)) == (name in ("generate", "create_run", "start"))
    pending.close()


async def test_what_is_done_with_a_result_says_that_it_was_not_awaited() -> None:
    async def read() -> None:
        async for _ in cast("Any", pending):
            pass

    async def enter() -> None:
        async with cast("Any", pending):
            pass

    def leave() -> None:
        with cast("Any", pending):
            pass

    pending: Any = agent().generate("x")
    for use in (lambda: pending["text"], lambda: list(pending), leave):
        with pytest.raises(TypeError, match="was not awaited: write `await"):
            use()
    for wait in (read, enter):
        with pytest.raises(TypeError, match="was not awaited: write `await"):
            await wait()
    pending.close()


def test_a_step_that_was_called_is_no_step() -> None:
    made = inc(1)
    with pytest.raises(WorkflowDefinitionError, match="was called already"):
        flow().then(cast("Any", made))
    cast("Any", made).close()


def test_who_asks_by_key_with_an_id_is_told_the_key() -> None:
    with pytest.raises(MastraError, match="'a' is the id of 'weather'"):
        Mastra(agents={"weather": agent()}).get_agent("a")


async def test_it_is_a_coroutine_for_whoever_runs_it() -> None:
    assert inspect.iscoroutine(pending := agent().generate("x"))
    assert asyncio.iscoroutine(pending)
    assert (await pending).text == "x"
    assert [one.text for one in await asyncio.gather(agent().generate("x"))] == ["x"]
    async with asyncio.TaskGroup() as tasks:
        begun = tasks.create_task(agent().generate("x"))
    assert begun.result().text == "x"
    async with anyio.create_task_group() as group:
        group.start_soon(agent().generate, "x")
    slow = Agent(id="slow", model=ScriptedModel({"text": "x", "delay": 60}))
    with anyio.move_on_after(0.01) as scope:
        await slow.generate("x")
    assert scope.cancelled_caught


async def test_a_step_that_returns_what_it_should_have_awaited_says_so() -> None:
    made: list[Any] = []

    async def forgetful(n: int) -> int:
        made.append(agent().generate("x"))
        return cast("int", made[0])

    workflow = flow().then(create_step(id="s", execute=forgetful)).commit()
    result = await (await workflow.create_run()).start(1)
    assert "an `await` is missing: it is <generate() was not awaited" in str(result.error)
    made[0].close()


# -- what came of it ---------------------------------------------------------------------------------


async def test_a_run_without_a_result_says_how_it_stands() -> None:
    async def wait(ctx: StepContext[int]) -> int:
        return cast("int", await ctx.suspend({}))

    workflow = flow().then(create_step(id="s", execute=wait)).commit()
    result: Any = await (await workflow.create_run()).start(1)
    with pytest.raises(AttributeError, match=r"the run is 'suspended'.*unwrap"):
        result.result  # noqa: B018
    assert not hasattr(result, "error")


async def test_a_failure_is_logged_with_the_place_in_the_users_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(n: int) -> int:
        return n // 0

    line = fails.__code__.co_firstlineno + 1
    workflow = flow().then(create_step(id="s", execute=fails)).commit()
    await (await workflow.create_run()).start(1)
    [record] = caplog.records
    told = record.getMessage()
    assert told.startswith("Step 's' of workflow 'w' failed: ZeroDivisionError: ")
    assert told.endswith(f"test_newcomers.py:{line} in fails)")


async def test_an_answer_is_short_where_it_is_printed() -> None:
    result = await agent().generate("x")
    assert repr(result).startswith("AgentResult(text='x', finish_reason='stop', run_id=")
    assert repr(result).endswith(": 1 steps, 0 tool calls)")


async def test_what_gives_nothing_is_the_coroutine_itself() -> None:
    @python_names
    class Writes:
        async def write(self, chunk: str) -> None:
            del chunk

        async def size(self) -> int:
            return 1

    writing, asking = Writes().write("a"), Writes().size()
    assert type(writing) is CoroutineType  # once a chunk, with nothing around it
    assert type(asking) is not CoroutineType
    await writing
    assert await asking == 1
