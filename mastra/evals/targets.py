"""What is evaluated: an agent, a workflow, a scorer or a function, run on one item."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from mastra.agents.agent import Agent
from mastra.agents.agent_step import refuse_tripped
from mastra.agents.results import AgentResult
from mastra.errors import ConfigError, InputValidationError, RunStateError
from mastra.evals.datasets import DatasetItem
from mastra.evals.outcomes import ScorerResult, ScorerRun
from mastra.evals.scorer import Scorer
from mastra.evals.trajectories import extract_trajectory, extract_workflow_trajectory
from mastra.failures import call_user
from mastra.jsonable import Json, to_jsonable
from mastra.models.messages import Message
from mastra.request_context import AUTH_TOKEN, RESOURCE_ID, THREAD_ID, RequestContext
from mastra.workflows.workflow import Workflow

__all__ = ["Answer", "Target", "TargetType", "target_of"]

TargetType: TypeAlias = Literal["agent", "workflow", "scorer", "function"]

Fields = Mapping[str, Any]

_WHO: Final = frozenset({RESOURCE_ID, THREAD_ID, AUTH_TOKEN, "user"})
"""What says who calls, and whose things are touched: no item of a dataset may."""


@dataclass(slots=True)
class Answer:
    """What a target gave for one input."""

    input: Any
    """As scorers see it."""
    output: Any
    """As scorers see it."""
    value: Json
    """What it gave, as JSON for people."""
    run_id: str = ""
    trace: Fields | None = None
    steps: Fields | None = None
    """Of a workflow what came of each step, as the wire has it."""
    path: Sequence[str] | None = None
    duration_ms: int = 0
    said: list[Message] = field(default_factory=list[Message])
    """Of an agent the conversation, for the turn that follows."""
    turns: list[Answer] = field(default_factory=list["Answer"])
    """Of a conversation what each turn gave."""

    def trajectory(self) -> dict[str, Any]:
        """Return the steps that were taken."""
        if self.steps is not None:
            return extract_workflow_trajectory(self.steps, self.path)
        return extract_trajectory(self.output)


class Target:
    """What is evaluated.

    Args:
        given: An `Agent`, a committed `Workflow`, a `Scorer`, or a function of the input, sync or
            async.
        options: Of an agent those of `generate`, of a workflow those of a run's `start`.

    Raises:
        ConfigError: It is none of these.
    """

    def __init__(self, given: Any, options: Fields | None = None) -> None:
        self._given = given
        self._options: Fields = options or {}
        self.resource_id: str | None = None
        """Whose the runs of a workflow are."""
        self._run: Callable[[DatasetItem], Any]
        self.type: TargetType
        if isinstance(given, Agent):
            self.type, self._run = "agent", self._converse
        elif isinstance(given, Workflow):
            self.type, self._run = "workflow", self._work
        elif isinstance(given, Scorer):
            self.type, self._run = "scorer", self._score
        elif callable(given):
            self.type, self._run = "function", self._call
        else:
            raise ConfigError(
                "What is evaluated is an agent, a workflow, a scorer or a function, not a "
                f"{type(given).__name__}."
            )
        known = cast("Any", given)
        name: Any = getattr(known, "id", None) or getattr(known, "__name__", None)
        self.id = str(name or type(known).__name__)

    @property
    def entity_type(self) -> str:
        """What scores of it say that was scored."""
        return {"function": "WORKFLOW"}.get(self.type, self.type.upper())

    @property
    def mastra(self) -> Any:
        """The application that it belongs to, if any."""
        if isinstance(self._given, Workflow):
            return cast("Workflow[Any, Any, Any]", self._given).runtime.services
        return getattr(self._given, "mastra", None)

    async def run(self, item: DatasetItem) -> Answer:
        """Run it on one item.

        Raises:
            MastraError: It failed, or the item is none for it.
        """
        if self.type != "agent" and (item.inputs is not None or item.turns is not None):
            raise InputValidationError("Only an agent takes an item with inputs or turns.")
        began = time.perf_counter()
        answer = await self._run(item)
        answer.duration_ms = round((time.perf_counter() - began) * 1000)
        return answer

    def _context(self, item: DatasetItem) -> dict[str, Any]:
        """Return the values of the request: the item's over those of all, but for who calls."""
        shared = RequestContext.of(self._options.get("request_context")).to_dict()
        own = item.request_context or {}
        return {**shared, **{key: value for key, value in own.items() if key not in _WHO}}

    # -- an agent ------------------------------------------------------------------------------

    async def _converse(self, item: DatasetItem) -> Answer:
        if item.inputs is None and item.turns is None:
            return await self._ask(item, item.input, [])
        given = item.inputs if item.turns is None else [turn["input"] for turn in item.turns]
        turns: list[Answer] = []
        said: list[Message] = []
        for one in given or ():
            turns.append(await self._ask(item, one, said))
            said = turns[-1].said
        first, last = turns[0], turns[-1]
        output = [message for turn in turns for message in turn.output]
        asked = {
            **first.input,
            "inputMessages": [
                message for turn in turns for message in turn.input["inputMessages"][-1:]
            ],
        }
        return Answer(
            asked, output, [turn.value for turn in turns], last.run_id, last.trace, turns=turns
        )

    async def _ask(self, item: DatasetItem, given: Any, said: list[Message]) -> Answer:
        agent = cast("Agent", self._given)
        if agent.mastra is not None:
            # One that is durable is asked as any other: what is scored is given by the run itself.
            agent = agent.bound_to(agent.mastra)
        messages: Any = given if not said else [*said, *_messages(given)]
        options: dict[str, Any] = {
            **self._options,
            "request_context": self._context(item),
            "return_scorer_data": True,
            # What is scored here is not scored live as well.
            "scorers": {},
        }
        result = await agent.generate(messages, **options)
        if result.finish_reason == "suspended":
            # Nobody is to answer it, so it does not lie among what waits for somebody.
            await agent.stored_runs.delete_run(result.run_id)
        _check_answered(agent, result)
        seen = cast("Fields", result.scoring_data)
        value: Any = result.text if result.object is None else to_jsonable(result.object)
        return Answer(
            seen["input"],
            seen["output"],
            value,
            result.run_id,
            result.trace,
            said=[message for message in result.messages if message.role != "system"],
        )

    # -- the others ----------------------------------------------------------------------------

    async def _work(self, item: DatasetItem) -> Answer:
        workflow = cast("Workflow[Any, Any, Any]", self._given)
        run = await workflow.create_run(resource_id=self.resource_id)
        options: dict[str, Any] = {**self._options, "request_context": self._context(item)}
        result = await run.start(input_data=item.input, **options)
        if result.status == "suspended":
            await run.cancel()  # as an agent's
        output = result.unwrap()
        wire: Any = result.to_wire()
        steps = {name: step for name, step in wire["steps"].items() if name != "input"}
        value = to_jsonable(output)
        path: Any = wire.get("stepExecutionPath")
        return Answer(item.input, value, value, run.run_id, steps=steps, path=path)

    async def _score(self, item: DatasetItem) -> Answer:
        given: Any = item.input
        run = ScorerRun.of(given if isinstance(given, Mapping) else {"output": given}, {})
        result: ScorerResult = await cast("Scorer", self._given).run(run)
        value: dict[str, Json] = {"score": result.score, "reason": result.reason}
        return Answer(given, value, value, result.run_id)

    async def _call(self, item: DatasetItem) -> Answer:
        value = to_jsonable(await call_user(self._given, item.input), what="What the target gave")
        return Answer(item.input, value, value)


def _check_answered(agent: Agent, result: AgentResult[Any]) -> None:
    """Refuse what is no answer: its text would be scored as if it were one.

    Raises:
        TripwireError: A processor refused.
        RunStateError: The agent waits for a person, or was told to stop.
    """
    refuse_tripped(result)
    facts = {"runId": result.run_id, "agentId": agent.id}
    if result.finish_reason == "suspended":
        answered = {one.payload.tool_call_id for one in result.tool_results}
        open_calls = [one.payload for one in result.tool_calls]
        names = [one.tool_name for one in open_calls if one.tool_call_id not in answered]
        waits = ", ".join(map(repr, names)) or "a call"
        raise RunStateError(
            f"Agent {agent.id!r} waits for a person's answer to {waits}, which an evaluation gives "
            "none: give it tools that do not ask, or no input that leads there.",
            code="RUN_SUSPENDED",
            details=facts,
        )
    if result.finish_reason == "aborted":
        raise RunStateError(
            f"Agent {agent.id!r} was told to stop before it had answered.",
            code="RUN_ABORTED",
            details=facts,
        )


def _messages(given: Any) -> list[Any]:
    return [given] if isinstance(given, (str, Mapping)) else list(given)


def target_of(given: Any, options: Fields | None = None) -> Target:
    """Return a target for itself, or for what is evaluated."""
    if isinstance(given, type) and issubclass(given, (Agent, Workflow)):
        raise ConfigError(
            f"What is to be evaluated is the class {given.__name__}: make an object of it."
        )
    return given if isinstance(given, Target) else Target(given, options)
