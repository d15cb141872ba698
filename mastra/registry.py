"""`Mastra`: the object an application builds once, from agents, workflows, tools and storage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

from mastra.clock import Clock
from mastra.errors import ConfigError
from mastra.failures import call_all
from mastra.ids import IdSource
from mastra.logs import get_logger
from mastra.names import python_names, python_options
from mastra.registered import found_by_id, found_by_key, keyed, no_member, refuse_taken_id
from mastra.storage.base import Storage
from mastra.workflows.engines.base import Engine
from mastra.workflows.option_checks import check_application
from mastra.workflows.runtime import Runtime
from mastra.workflows.versions.families import last_version
from mastra.workflows.workflow import Workflow

if TYPE_CHECKING:
    from mastra.agents.agent import Agent
    from mastra.evals.live import LiveScores
    from mastra.evals.scorer import Scorer
    from mastra.observability.config import Observability
    from mastra.schedules.service import Schedules
    from mastra.schedules.settings import SchedulerConfig
    from mastra.services import Scorable
    from mastra.tools.tool import Tool

__all__ = ["Mastra"]

T = TypeVar("T")
AnyWorkflow: TypeAlias = Workflow[Any, Any, Any]

_LAST_SCORES_S = 10.0
"""For how long an application that closes waits for what is being scored."""


@python_names
@python_options
class Mastra:
    """Names for agents, workflows and tools, and what they share.

    It holds no global state: two in one process never see each other. What it is given is not
    changed by it; `get_agent` and `get_workflow` give versions that belong to it.

    Args:
        agents: Agents by key, or a list of them, whose keys are their ids.
        workflows: Committed workflows by key, or a list of them. A list under one key is of
            versions of the same workflow: new runs take the last, a run goes on by its own.
            Those with one id and different versions are taken so in a list, too.
        tools: Tools by key, or a list of them.
        storage: Where runs and memory are kept; left out, in memory.
        logger: The application's logger, or `None` for the `mastra` logger.
        engine: What runs workflows; left out, in process.
        server: A `ServerConfig`.
        mcp_servers: MCP servers by key, offered by the REST server.
        observability: What is traced and kept; left out, spans go to the OpenTelemetry that is
            set up, and nowhere else.
        scorers: Scorers by key, or a list of them: what agents, steps, experiments and Studio name.
        scheduler: How this process starts what is scheduled, a `SchedulerConfig`; `False`: not.
        clock: What its runs go by, such as `mastra.testing.FakeClock`; left out, the machine's.
        ids: What makes ids, such as `mastra.testing.fake_ids()`; left out, they are random.

    Raises:
        ConfigError: Something registered is not what its place needs, or two have the same id.
    """

    def __init__(
        self,
        *,
        agents: Mapping[str, Agent] | Sequence[Agent] | None = None,
        workflows: Mapping[str, AnyWorkflow | Sequence[AnyWorkflow]]
        | Sequence[AnyWorkflow]
        | None = None,
        tools: Mapping[str, Tool[Any, Any]] | Sequence[Tool[Any, Any]] | None = None,
        storage: Storage | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        engine: Engine | None = None,
        server: Any = None,
        mcp_servers: Mapping[str, Any] | None = None,
        observability: Observability | None = None,
        scorers: Mapping[str, Scorer] | Iterable[Scorer] | None = None,
        scheduler: SchedulerConfig | bool | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        if storage is None:
            from mastra.storage.in_process import InMemoryStorage  # noqa: PLC0415

            storage = InMemoryStorage()
        if engine is None:
            from mastra.workflows.engines.inprocess import InProcessEngine  # noqa: PLC0415

            engine = InProcessEngine()
        check_application(locals())
        self._storage: Storage = storage
        self._engine = engine
        self._logger = logger or get_logger()
        self._server = server
        self._mcp_servers = dict(mcp_servers or {})
        self._observability = _kept_in(storage, observability)
        self.clock = clock
        """What its runs go by, where that was given."""
        self.ids = ids
        """What makes ids, where that was given."""
        self._runtime = Runtime(engine, storage.workflows, self)
        self._agents: dict[str, Any] = {}
        self._workflows: dict[str, AnyWorkflow] = {}
        self._versions: dict[str, list[AnyWorkflow]] = {}
        self._tools: dict[str, Any] = {}
        self._scorers: dict[str, Any] = {}
        self._live: LiveScores | None = None
        self._scheduler = scheduler
        self._schedules: Schedules | None = None
        for key, agent in keyed(agents, "agents"):
            self.add_agent(agent, key)
        for key, workflow in keyed(workflows, "workflows"):
            self.add_workflow(workflow, key)
        for key, tool in keyed(tools, "tools"):
            self.add_tool(tool, key)
        for key, scorer in keyed(scorers, "scorers"):
            self.add_scorer(scorer, key)
        for mcp_server in self._mcp_servers.values():
            mcp_server.registered_with(self)

    def __repr__(self) -> str:
        return (
            f"Mastra(agents={list(self._agents)}, workflows={list(self._workflows)}, "
            f"tools={list(self._tools)})"
        )

    # -- registering ---------------------------------------------------------------------------

    def add_agent(self, agent: Agent, key: str | None = None) -> None:
        """Register an agent, by default under its name.

        Raises:
            ConfigError: It is no agent, or another one has its id.
        """
        given: Any = agent
        if isinstance(given, (type, Workflow)) or not hasattr(given, "bound_to"):
            raise no_member("Agent", key, agent)
        others = {at: one for at, one in self._agents.items() if one.spec is not agent.spec}
        refuse_taken_id("Agents", key or agent.name, agent.id, others)
        bound = agent.bound_to(self)
        belong_to = getattr(agent.spec.memory, "belong_to", None)
        if belong_to is not None:
            belong_to(self)
        self._agents[key or agent.name] = (
            bound.kept_in(self._runtime) if bound.spec.durable else bound
        )

    def add_workflow(
        self, workflow: AnyWorkflow | Sequence[AnyWorkflow], key: str | None = None
    ) -> None:
        """Register a committed workflow, by default under its id.

        Args:
            workflow: It, or its versions: the last is what new runs take, and each run goes on by
                the one that it began with.
            key: What it is found under.

        Raises:
            WorkflowDefinitionError: It is not committed.
            ConfigError: It is no workflow, another one has its id, or two are the same version.
        """
        given: Any = workflow
        versions: list[AnyWorkflow] = [*given] if isinstance(given, (list, tuple)) else [given]
        for version in versions:
            if not isinstance(cast("Any", version), Workflow):
                raise no_member("Workflow", key, version)
        spec = last_version(versions, key).spec
        refuse_taken_id("Workflows", key or spec.id, spec.id, self._workflows)
        kept = versions if len(versions) > 1 else ()
        if kept:
            self._runtime.versions[spec.id] = tuple(version.spec for version in kept)
        for version in versions:
            version.bind(self._runtime)
        bound = [version.bound_to(self._runtime, kept) for version in versions]
        self._workflows[key or spec.id] = bound[-1]
        self._versions[key or spec.id] = bound

    def add_tool(self, tool: Any, key: str | None = None) -> None:
        """Register a tool, by default under its id."""
        from mastra.tools.tool import as_tool  # noqa: PLC0415

        found = as_tool(tool)
        self._tools[key or found.id] = found

    def add_scorer(self, scorer: Scorer, key: str | None = None) -> None:
        """Register a scorer, by default under its id."""
        if isinstance(scorer, type) or not hasattr(scorer, "generate_score"):
            raise no_member("Scorer", key, scorer)
        self._scorers[key or scorer.id] = scorer.bound_to(self)

    # -- looking up ----------------------------------------------------------------------------

    def get_agent(self, key: str) -> Agent:
        """Return the agent registered under a key.

        Raises:
            NotFoundError: There is none; the message lists the keys there are.
        """
        return found_by_key(self._agents, key, "agent", "key")

    def get_agent_by_id(self, agent_id: str) -> Agent:
        """Return the agent with an id, or else the one registered under it as a key."""
        return found_by_id(self._agents, agent_id, "agent")

    def list_agents(self) -> dict[str, Agent]:
        """Return the agents by key."""
        return dict(self._agents)

    def get_workflow(self, key: str, *, version: str | None = None) -> AnyWorkflow:
        """Return the workflow registered under a key.

        Args:
            key: The key.
            version: Which of its versions; left out, the last.

        Raises:
            NotFoundError: There is none; the message lists those there are.
        """
        found = found_by_key(self._workflows, key, "workflow", "key")
        return found if version is None else self._version_of(found, version)

    def get_workflow_by_id(self, workflow_id: str, *, version: str | None = None) -> AnyWorkflow:
        """Return the workflow with an id, or else the one registered under it as a key."""
        found = found_by_id(self._workflows, workflow_id, "workflow")
        return found if version is None else self._version_of(found, version)

    def _version_of(self, workflow: AnyWorkflow, version: str) -> AnyWorkflow:
        versions = next(kept for kept in self._versions.values() if workflow in kept)
        named = {str(kept.version): kept for kept in versions}
        return found_by_key(named, str(version), f"version of workflow {workflow.id!r}", "name")

    def list_workflows(self) -> dict[str, AnyWorkflow]:
        """Return the workflows by key, of each its last version."""
        return dict(self._workflows)

    def get_tool(self, key: str) -> Tool[Any, Any]:
        """Return the tool registered under a key.

        Raises:
            NotFoundError: There is none; the message lists the keys there are.
        """
        return found_by_key(self._tools, key, "tool", "key")

    def get_tool_by_id(self, tool_id: str) -> Tool[Any, Any]:
        """Return the tool with an id, or else the one registered under it as a key."""
        return found_by_id(self._tools, tool_id, "tool")

    def list_tools(self) -> dict[str, Tool[Any, Any]]:
        """Return the tools by key."""
        return dict(self._tools)

    def get_scorer(self, key: str) -> Scorer:
        """Return the scorer registered under a key.

        Raises:
            NotFoundError: There is none; the message lists the keys there are.
        """
        return found_by_key(self._scorers, key, "scorer", "key")

    def get_scorer_by_id(self, scorer_id: str) -> Scorer:
        """Return the scorer with an id, or else the one registered under it as a key."""
        return found_by_id(self._scorers, scorer_id, "scorer")

    def list_scorers(self) -> dict[str, Scorer]:
        """Return the scorers by key."""
        return dict(self._scorers)

    @property
    def storage(self) -> Storage:
        """Where runs and memory are kept."""
        return self._storage

    @property
    def engine(self) -> Engine:
        """What runs workflows."""
        return self._engine

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """The application's logger."""
        return self._logger

    @property
    def server(self) -> Any:
        """The server's configuration, or `None`."""
        return self._server

    @property
    def mcp_servers(self) -> dict[str, Any]:
        """MCP servers by key."""
        return dict(self._mcp_servers)

    @property
    def observability(self) -> Observability | None:
        """What is traced and logged, and kept in the storage; or `None`."""
        return self._observability

    def observe(self, observability: Observability | None) -> None:
        """Trace and log otherwise from here on."""
        self._observability = _kept_in(self._storage, observability)

    # -- scoring -------------------------------------------------------------------------------

    @property
    def live_scores(self) -> LiveScores:
        """What scores while the application runs."""
        if self._live is None:
            from mastra.evals.live import LiveScores  # noqa: PLC0415 - only where somebody scores

            self._live = LiveScores(self)
        return self._live

    def score(self, scorers: Mapping[str, Any], key: str, make: Callable[[], Scorable]) -> None:
        """Have something that has ended scored later, if the sampling takes it. It never raises."""
        self.live_scores.offer(scorers, key, make)

    # -- running -------------------------------------------------------------------------------

    @property
    def schedules(self) -> Schedules:
        """What is started again and again."""
        if self._schedules is None:
            from mastra.schedules.service import Schedules  # noqa: PLC0415 - only where one asks
            from mastra.schedules.settings import settings_of  # noqa: PLC0415

            self._schedules = Schedules(self, settings_of(self._scheduler))
        return self._schedules

    async def restart_all_active_workflow_runs(self) -> dict[str, list[str]]:
        """Go on with every run that was cut off, such as by a crash or a deploy.

        Runs that another live process drives are left to it.

        Returns:
            The ids of the runs that go on, by workflow id.
        """
        restarted: dict[str, list[str]] = {}
        for workflow in self._workflows.values():
            run_ids = await workflow.restart_all_active_runs()
            if run_ids:
                restarted[workflow.id] = run_ids
        return restarted

    async def recover_all_durable_agents(self) -> dict[str, list[str]]:
        """Go on with every run of a durable agent that was cut off.

        Runs that another live process drives are left to it. What an agent then gives is in
        `agent.durable_runs.workflow`.

        Returns:
            The ids of the runs that go on, by agent id.
        """
        recovered: dict[str, list[str]] = {}
        for agent in self._agents.values():
            if agent.spec.durable:
                run_ids = await agent.durable_runs.workflow.restart_all_active_runs()
                if run_ids:
                    recovered[agent.id] = run_ids
        return recovered

    async def open(self, *, restart_runs: bool = True) -> None:
        """Open the storage, and begin to look after the runs in it. `aclose` ends both.

        Args:
            restart_runs: Whether runs whose process has died elsewhere go on here, when it has
                given no sign of life for the time that the storage says.

        Raises:
            ConfigError: A workflow's schedule is none. Nothing is left open then.
            StorageError: The storage cannot be used.
        """
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self.aclose)
            await self._storage.open()
            for engine in self._engines():
                await engine.open(self._storage.workflows, restarts=restart_runs)
            await self.schedules.open()
            opened.pop_all()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the runs that go on in this process and close the storage.

        With a storage that outlives the process, they can be restarted.
        """
        parts = [] if self._schedules is None else [self._schedules.aclose]
        parts += [engine.aclose for engine in self._engines()]
        parts.append(self._end_scoring)
        closes = (getattr(agent, "aclose", None) for agent in self._agents.values())
        parts += [close for close in closes if close is not None]
        if self._observability is not None:
            parts.append(self._observability.aclose)
        await call_all(*parts, self._storage.aclose)

    async def _end_scoring(self) -> None:
        if self._live is not None:
            await self._live.drain(timeout_s=_LAST_SCORES_S)

    def _engines(self) -> list[Engine]:
        engines = {id(self._engine): self._engine}
        for workflow in self._workflows.values():
            engines[id(workflow.runtime.engine)] = workflow.runtime.engine
        return list(engines.values())


def _kept_in(storage: Storage, observability: Any) -> Observability | None:
    if observability is None:
        return None
    if not hasattr(observability, "kept_in"):
        raise ConfigError(
            "Mastra(observability=...) takes an Observability(...) of mastra.observability, not "
            f"{type(observability).__name__}."
        )
    return observability.kept_in(storage)
