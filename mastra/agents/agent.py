"""`Agent`: instructions, a model and tools, run with `stream()` or `generate()`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from mastra.agents.agent_stream import AgentStream
from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.agents.options import (
    AgentOptions,
    AgentSpec,
    CallOptions,
    ToolCallHooks,
    ToolSet,
    merged,
)
from mastra.agents.output import StructuredOutput
from mastra.agents.prompt import Instructions
from mastra.agents.results import AgentResult
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.wait import Resume
from mastra.agents.waiting.stored_runs import StoredRuns, stored_runs
from mastra.agents.waiting.suspended import SuspendedRuns, Wanted
from mastra.clock import ms_from_datetime
from mastra.errors import ConfigError
from mastra.given import COUNT, check_given, check_listing
from mastra.models.messages import MessageInput
from mastra.models.resolve import ModelInput
from mastra.names import python_names, python_options
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.sync import sync_twin
from mastra.tools.named import check_names, named_provider_tools, named_tools
from mastra.tools.tool import Tool

if TYPE_CHECKING:
    from mastra.agents.durable.runs import DurableRuns
    from mastra.agents.sync_stream import AgentSyncStream
    from mastra.workflows.runtime import Runtime
    from mastra.workflows.step import Step
    from mastra.workflows.workflow import Workflow

__all__ = ["Agent"]

T = TypeVar("T")


@python_names
@python_options
class Agent:
    """Instructions, a model and tools.

    Where a setting may change from call to call, it may be a function of the `AgentContext`,
    sync or async.

    Args:
        id: Its name for programs.
        name: Its name for people; the same as the id where it is left out.
        instructions: What the model is told first: text, a list of texts or system messages.
        model: `provider/model`, a `ModelConfig`, a `Model`, or a list tried in order.
        tools: What the model may run, by the name it sees.
        agents: Agents that the model may ask, each as the tool `agent-<key>`.
        workflows: Workflows that the model may run, each as the tool `workflow-<key>`.
        memory: Keeps conversations.
        description: What another agent, or a person, reads to decide when to ask this one.
        default_options: Options of every call, unless the call says otherwise.
        max_retries: Retries of a model call that failed before its first chunk.
        input_processors: See, change or refuse what goes to the model.
        output_processors: See, change or refuse what comes from it.
        error_processors: See what providers refuse, and may ask again.
        max_processor_retries: How often processors may ask the model again.
        metadata: Facts for the application.
        request_context_schema: What the request's values must be.
        hooks: Functions around every tool call.
        cache_instructions: Have the provider keep the instructions, and the tools before them, for
            later calls, where that has to be asked for, as of Anthropic.
        durable: Record every model call and every tool call of the agent that a `Mastra` gives,
            in its storage and by its engine, so that a run goes on between them after a crash
            (in process by `mastra.recover_all_durable_agents()`).
        scorers: What scores its answers once they are given, by key: `{"scorer": scorer,
            "sampling": {"type": "ratio", "rate": 0.1}}`. They belong to a `Mastra`, which keeps the
            scores.
    """

    __slots__ = ("_durable_runs", "_services", "_spec")

    def __init__(
        self,
        *,
        id: str | None = None,
        name: str | None = None,
        instructions: Instructions = "",
        model: ModelInput,
        tools: ToolSet | Callable[..., Any] | None = None,
        agents: Mapping[str, Any] | Callable[..., Any] | None = None,
        workflows: Mapping[str, Any] | Callable[..., Any] | None = None,
        memory: Any = None,
        description: str = "",
        default_options: Mapping[str, Any] | Callable[..., Any] | None = None,
        max_retries: int | None = None,
        input_processors: Sequence[Any] | Callable[..., Any] = (),
        output_processors: Sequence[Any] | Callable[..., Any] = (),
        error_processors: Sequence[Any] | Callable[..., Any] = (),
        max_processor_retries: int | None = None,
        metadata: Mapping[str, Any] | Callable[..., Any] | None = None,
        request_context_schema: Any = None,
        hooks: ToolCallHooks | None = None,
        cache_instructions: bool = False,
        durable: bool = False,
        scorers: Mapping[str, Any] | Callable[..., Any] | None = None,
    ) -> None:
        agent_id = id or name
        if not agent_id:
            raise ConfigError("An agent needs an id: Agent(id='planner', ...).")
        if isinstance(default_options, Mapping):
            merged(cast("Mapping[str, Any]", default_options), {})
        if isinstance(tools, (Mapping, Sequence)):
            given = cast("ToolSet", tools)
            own = named_tools(given)
            check_names(own, named_provider_tools(given), f"agent {agent_id!r}")
            # A provider may give the form of a tool that runs here, under the same name.
            elsewhere = {
                f"{tool.provider}.{name}" if name in own else name: tool
                for name, tool in named_provider_tools(given).items()
            }
            tools = {**own, **elsewhere}
        self._services: Services | None = None
        self._durable_runs: DurableRuns | None = None
        self._spec = AgentSpec(
            id=agent_id,
            name=name or agent_id,
            instructions=instructions,
            model=model,
            tools=tools,
            agents=agents,
            workflows=workflows,
            memory=memory,
            description=description,
            default_options=cast("Any", default_options),
            max_retries=max_retries,
            input_processors=input_processors,
            output_processors=output_processors,
            error_processors=error_processors,
            max_processor_retries=max_processor_retries,
            metadata=metadata,
            request_context_schema=request_context_schema,
            hooks=hooks or ToolCallHooks(),
            cache_instructions=cache_instructions,
            durable=durable,
            scorers=scorers,
        )

    def __repr__(self) -> str:
        return f"Agent({self.id!r})"

    # -- what it is ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its name for programs."""
        return self._spec.id

    @property
    def name(self) -> str:
        """Its name for people."""
        return self._spec.name

    @property
    def description(self) -> str:
        """What others read to decide when to ask it."""
        return self._spec.description

    @property
    def spec(self) -> AgentSpec:
        """All that it is made of."""
        return self._spec

    @property
    def mastra(self) -> Services | None:
        """The application it belongs to, if any."""
        return self._services

    def bound_to(self, services: Services) -> Agent:
        """Return the same agent as one of an application: its tools and settings see it.

        The agent itself is left as it is, so several applications may share it.
        """
        bound = copy.copy(self)
        bound._services = services  # noqa: SLF001 - our own copy
        # Whoever asks it from a step or a tool has a run of their own, in which it is one part.
        bound._durable_runs = None  # noqa: SLF001
        return bound

    def kept_in(self, runtime: Runtime) -> Agent:
        """Return a durable agent whose runs are stored and driven there."""
        from mastra.agents.durable.runs import DurableRuns  # noqa: PLC0415 - only for durable ones

        kept = copy.copy(self)
        kept._durable_runs = DurableRuns(self, runtime)  # noqa: SLF001 - our own copy
        return kept

    @property
    def durable_runs(self) -> DurableRuns:
        """The stored runs of a durable agent.

        Raises:
            ConfigError: It is not durable, or not one that a `Mastra` gave.
        """
        if self._durable_runs is None:
            raise ConfigError(
                f"Agent {self.id!r} keeps no runs: make it with durable=True, register it, and use "
                "the one that mastra.get_agent(...) gives."
            )
        return self._durable_runs

    def inheriting(self, memory: Any) -> Agent:
        """Return the same agent with a memory, unless it has one of its own."""
        if memory is None or self._spec.memory is not None:
            return self
        heir = copy.copy(self)
        heir._spec = replace(self._spec, memory=memory)  # noqa: SLF001 - our own copy
        return heir

    async def get_instructions(self, request_context: Any = None) -> Any:
        """Return the instructions for a request."""
        return await resolve_dynamic(self._spec.instructions, self._context(request_context))

    async def list_tools(self, request_context: Any = None) -> dict[str, Tool[Any, Any]]:
        """Return the tools for a request, by the name the model sees."""
        return named_tools(await resolve_dynamic(self._spec.tools, self._context(request_context)))

    async def get_default_options(self, request_context: Any = None) -> Mapping[str, Any]:
        """Return the default options for a request."""
        given, context = self._spec.default_options, self._context(request_context)
        return await resolve_dynamic(given, context) or {}

    def _context(self, request_context: Any) -> AgentContext:
        return AgentContext(RequestContext.of(request_context), self._services, self.id)

    @overload
    def as_step(
        self, *, structured_output: type[T] | StructuredOutput[T], **options: Any
    ) -> Step[Any, T]: ...
    @overload
    def as_step(self, **options: Any) -> Step[Any, Any]: ...
    def as_step(self, *, durable: bool | None = None, **options: Any) -> Step[Any, Any]:
        """Return the agent as a step: `{prompt}` in, `{text}` or the structured output out.

        Args:
            durable: Record each model call and tool call by itself; left out, as the agent is.
            options: `id`, `description`, `retries` and `metadata` of the step, options of `stream`.
        """
        if self._spec.durable if durable is None else durable:
            from mastra.agents.durable.step import durable_agent_step  # noqa: PLC0415 - only then

            return durable_agent_step(self, options)
        from mastra.agents.agent_step import agent_as_step  # noqa: PLC0415 - only for workflows

        return agent_as_step(self, options)

    # -- running -------------------------------------------------------------------------------

    @overload
    def stream(
        self,
        messages: MessageInput,
        *,
        structured_output: type[T] | StructuredOutput[T],
        run_id: str = ...,
        **options: Unpack[CallOptions],
    ) -> AgentStream[T]: ...
    @overload
    def stream(
        self, messages: MessageInput, **options: Unpack[AgentOptions]
    ) -> AgentStream[Any]: ...
    def stream(self, messages: MessageInput, **options: Any) -> AgentStream[Any]:
        """Start an answer and return it at once; reading it drives it.

        Args:
            messages: Text, a list of texts, messages, or dicts with `role` and `content`.
            options: See `AgentOptions`.

        Raises:
            ConfigError: There is no option of that name.
        """
        run = AgentRun(self._spec, self._services, messages, merged({}, options))
        durable = self._durable_runs
        return AgentStream(run, None if durable is None else durable.start(run))

    @overload
    async def generate(
        self,
        messages: MessageInput,
        *,
        structured_output: type[T] | StructuredOutput[T],
        run_id: str = ...,
        **options: Unpack[CallOptions],
    ) -> AgentResult[T]: ...
    @overload
    async def generate(
        self, messages: MessageInput, **options: Unpack[AgentOptions]
    ) -> AgentResult[Any]: ...
    async def generate(self, messages: MessageInput, **options: Any) -> AgentResult[Any]:
        """Return the whole answer.

        Args:
            messages: Text, a list of texts, messages, or dicts with `role` and `content`.
            options: See `AgentOptions`.

        Raises:
            ModelError: The model failed, after retries and fallbacks.
            ConfigError: The agent or the call is set up wrongly.
        """
        async with self.stream(messages, **options) as stream:
            return await stream.result()

    generate_sync = sync_twin(generate)

    def stream_sync(self, messages: MessageInput, **options: Any) -> AgentSyncStream[Any]:
        """Do what `stream` does, in a program without an event loop."""
        from mastra.agents.sync_stream import AgentSyncStream  # noqa: PLC0415 - scripts only

        return AgentSyncStream(self.stream(messages, **options))

    # -- going on after a wait -----------------------------------------------------------------

    def resume_stream(
        self,
        resume_data: Any,
        *,
        run_id: str,
        tool_call_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentStream[Any]:
        """Go on with a run whose tool suspended.

        Args:
            resume_data: What the tool waits for.
            run_id: The run.
            tool_call_id: Which call is answered, where several wait.
            options: As of `stream`, where they differ from those of the run so far.
        """
        return self._resume(Resume(tool_call_id, data=resume_data), run_id, options)

    async def resume_generate(
        self,
        resume_data: Any,
        *,
        run_id: str,
        tool_call_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentResult[Any]:
        """Go on with a run whose tool suspended, and return the whole answer."""
        resume = Resume(tool_call_id, data=resume_data)
        async with self._resume(resume, run_id, options) as stream:
            return await stream.result()

    def approve_tool_call(
        self,
        run_id: str,
        tool_call_id: str | None = None,
        *,
        args: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentStream[Any]:
        """Let a tool call that waits for approval run, and go on.

        Args:
            run_id: The run.
            tool_call_id: Which call, where several wait.
            args: In place of the arguments that the model gave.
            options: As of `stream`, where they differ from those of the run so far.
        """
        return self._resume(Resume(tool_call_id, approved=True, args=args), run_id, options)

    def decline_tool_call(
        self,
        run_id: str,
        tool_call_id: str | None = None,
        *,
        reason: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentStream[Any]:
        """Refuse a tool call that waits for approval, tell the model why, and go on."""
        return self._resume(Resume(tool_call_id, approved=False, reason=reason), run_id, options)

    async def approve_tool_call_generate(
        self,
        run_id: str,
        tool_call_id: str | None = None,
        *,
        args: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentResult[Any]:
        """Let a tool call run, go on, and return the whole answer."""
        async with self.approve_tool_call(run_id, tool_call_id, args=args, **options) as stream:
            return await stream.result()

    async def decline_tool_call_generate(
        self,
        run_id: str,
        tool_call_id: str | None = None,
        *,
        reason: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AgentResult[Any]:
        """Refuse a tool call, go on, and return the whole answer."""
        async with self.decline_tool_call(run_id, tool_call_id, reason=reason, **options) as stream:
            return await stream.result()

    def _resume(self, resume: Resume, run_id: str, options: Mapping[str, Any]) -> AgentStream[Any]:
        run = AgentRun(self._spec, self._services, [], merged({}, {**options, "run_id": run_id}))
        if self._durable_runs is not None:
            return AgentStream(run, self._durable_runs.resume(run, resume))
        run.wait.resume = resume
        return AgentStream(run)

    def observe(
        self, run_id: str, offset: int = 0, *, request_context: Any = None
    ) -> AgentStream[Any]:
        """Read a stored run, whoever drives it: its chunks so far, and those that come.

        It ends with the run, or where the run waits. Leaving it does not stop the run. Of an agent
        that is not durable those runs are stored that wait or have waited, their chunks each
        time that they wait and when they end.

        Args:
            run_id: The run.
            offset: The first chunk to give, a whole number from 0: how many of them are known.
            request_context: Says whose runs may be read, where that is to be limited.
        """
        given = {"offset": offset}
        check_given(f"Run {run_id!r} of agent {self.id!r}", given, {"offset": COUNT}, needed=given)
        options = {"run_id": run_id, "request_context": request_context}
        run = AgentRun(self._spec, self._services, [], merged({}, options))
        return AgentStream(run, self._kept_runs.observe(run, offset))

    async def check_stored(self, run_id: str, resource_id: str | None = None) -> None:
        """See to it that there is a stored run to observe.

        Args:
            run_id: The run.
            resource_id: Whose run it has to be; `None` for anybody's.

        Raises:
            RunNotFoundError: There is none.
            AccessDeniedError: It is not of that resource.
        """
        await self._kept_runs.find(run_id, resource_id)

    @property
    def stored_runs(self) -> Workflow[Any, Any, Any]:
        """The stored runs, as those of a workflow: to look at, cancel and delete them."""
        return self._kept_runs.workflow

    @property
    def _kept_runs(self) -> DurableRuns:
        """The runs of the agent as those of a workflow, to look at."""
        if self._durable_runs is not None:
            return self._durable_runs
        from mastra.agents.durable.runs import DurableRuns  # noqa: PLC0415 - only then

        return DurableRuns.of_plain(self, self._runs.store, self._services)

    @property
    def _runs(self) -> StoredRuns:
        return stored_runs(self._services, self._spec.runs, self.id)

    @property
    def waiting_runs(self) -> DurableRuns | StoredRuns:
        """Where its runs that wait are found."""
        return self._durable_runs or self._runs

    async def list_suspended_runs(
        self,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        page: int = 0,
        per_page: int | None = None,
    ) -> SuspendedRuns:
        """Return the runs of this agent that wait for somebody's answer, the latest first."""
        check_listing(f"Suspended runs of agent {self.id!r}", locals())
        wanted: Wanted = {
            "thread_id": thread_id,
            "resource_id": resource_id,
            "from_ms": None if from_date is None else ms_from_datetime(from_date),
            "to_ms": None if to_date is None else ms_from_datetime(to_date),
            "offset": page * (per_page or 0),
            "limit": per_page,
        }
        return await self.waiting_runs.list_suspended(wanted)
