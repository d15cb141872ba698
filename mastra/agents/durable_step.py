"""An agent as a step of which every model call and every tool call is an operation of its own.

After a crash the run goes on from the last of them that is recorded: no model is asked again,
and no tool is called again, whose answer is known. The operations are `0.model[turn]` and
`1.tool[turn][call]`, under the step's own place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from mastra.agents.agent_step import (
    STEP_OPTIONS,
    AgentStepInput,
    AgentStepOutput,
    refuse_tripped,
)
from mastra.agents.agent_stream import AgentStream
from mastra.agents.durable_leg import Leg, dump_outcome, grown, noted, requested
from mastra.agents.loop import flush, out_of_time
from mastra.agents.options import merged, output_of
from mastra.agents.recorder import RequestedCall
from mastra.agents.results import StepResult
from mastra.agents.resuming import resumption_of, waiting_call, what_to_answer
from mastra.agents.run import AgentRun, Interrupted
from mastra.agents.setup import set_up
from mastra.agents.tool_calls import CallRunner, NeedsApproval, Outcome, Suspended
from mastra.agents.tool_outcomes import stream_outcome
from mastra.agents.tracing import close_agent_span, open_agent_span
from mastra.errors import RunStateError, StepValidationError, WorkflowDefinitionError
from mastra.jsonable import Json
from mastra.schema import ANY, Schema, SchemaMismatch, schema_of
from mastra.stream.writer import Writer
from mastra.tools.tool_step import services_of
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Walk
from mastra.workflows.engines.flow import combine, run_items, run_step
from mastra.workflows.spec import StepNode, WorkflowSpec
from mastra.workflows.step import Step, check_id
from mastra.workflows.step_context import StepContext, StepWriter

__all__ = ["durable_agent_step"]

Call = Callable[[StepContext[Any]], Awaitable[Any]]


def durable_agent_step(agent: Any, options: Mapping[str, Any]) -> Step[Any, Any]:
    """Return a step that asks an agent, as `agent_as_step` does, one recorded operation at a time.

    It is walked in place, as a nested workflow is: results have `<step>.model` and `<step>.tool`
    beside the step itself.
    """
    own = {key: options[key] for key in STEP_OPTIONS if key in options}
    asked = {key: value for key, value in options.items() if key not in own}
    merged({}, asked)
    step_id = own.get("id") or agent.id
    check_id(step_id, "Step")
    output = output_of(cast("Any", asked))
    gives: Schema[Any] = schema_of(AgentStepOutput) if output is None else output.validator
    durable = _DurableAgent(agent, asked, gives, own.get("retries"))
    description = own.get("description") or agent.description or None
    spec = WorkflowSpec(
        id=step_id,
        nodes=durable.nodes,
        input_schema=schema_of(AgentStepInput),
        output_schema=gives,
        description=description,
        metadata=own.get("metadata"),
        drive=durable.drive,
    )
    return Step(
        id=step_id,
        input_schema=spec.input_schema,
        output_schema=gives,
        execute=_walked,
        call=_walked,
        description=description,
        metadata=own.get("metadata"),
        retries=own.get("retries"),
        component="AGENT",
        nested=spec,
    )


async def _walked(_: StepContext[Any]) -> Any:
    raise WorkflowDefinitionError("A durable agent is walked, not called.")


class _DurableAgent:
    """What the operations of one durable step share. Holds nothing of any run."""

    def __init__(
        self, agent: Any, asked: Mapping[str, Any], gives: Schema[Any], retries: int | None
    ) -> None:
        self._agent = agent
        self._asked = asked
        self._gives = gives
        self._retries = retries
        self.nodes = (
            self._node("0.model", "model", "AGENT", _walked),
            self._node("1.tool", "tool", "TOOL", _walked),
        )

    def _node(self, op: str, step_id: str, component: str, call: Call) -> StepNode:
        step: Step[Any, Any] = Step(
            id=step_id,
            input_schema=ANY,
            output_schema=ANY,
            execute=call,
            call=call,
            retries=self._retries,
            component=component,
        )
        return StepNode(op, step)

    # -- the order of the operations -----------------------------------------------------------

    async def drive(self, walk: Walk, scope: Scope, value: Json) -> Json:
        """Walk the operations: a model call, its tool calls, and again, until there are none.

        What the tools and the model write is written by the step itself, in whose place it would
        be if it were not durable.
        """
        writer = StepWriter(walk.run, walk.run.blocks[scope.prefix.removesuffix("/")])
        state: dict[str, Any] = {}
        outcomes: list[Json] = []
        given: Json = value
        turn = 0
        while True:
            turn += 1
            op_id = f"{scope.prefix}0.model[{turn}]"
            body = partial(self._ask, writer, state, outcomes, value)
            node = self._node(op_id, "model", "AGENT", body)
            record = await run_step(walk, scope, node, op_id, given, iteration=turn)
            reply = cast("dict[str, Any]", record.output)
            if "output" in reply:
                return reply["output"]
            state = grown(state, reply)
            stem = f"{scope.prefix}1.tool[{turn}]"
            branches = [
                partial(self._run_call, walk, scope, writer, state, call, f"{stem}[{place}]")
                for place, call in enumerate(_own_calls(state))
            ]
            outcomes = await run_items(walk, stem, branches, state["atOnce"])
            combine(outcomes)
            given = None

    async def _run_call(
        self,
        walk: Walk,
        scope: Scope,
        writer: Writer,
        state: Mapping[str, Any],
        call: dict[str, Any],
        op_id: str,
    ) -> Json:
        node = self._node(op_id, "tool", "TOOL", partial(self._call, writer, state, call))
        given: Json = {key: call[key] for key in ("toolCallId", "toolName", "args")}
        return (await run_step(walk, scope, node, op_id, given)).output

    # -- the operations ------------------------------------------------------------------------

    def _run(self, ctx: StepContext[Any], messages: Any, leg: Leg) -> AgentRun:
        """Return the run as an operation finds it."""
        services = services_of(ctx)
        agent = self._agent if services is None else self._agent.bound_to(services)
        options: dict[str, Any] = {
            "request_context": ctx.request_context,
            "abort_signal": ctx.abort_signal,
            **self._asked,
        }
        if not leg.is_first:
            options["run_id"] = leg.state["runId"]
        run = AgentRun(agent.spec, agent.mastra, messages, merged({}, options))
        run.leg = leg
        return run

    async def _ask(
        self,
        writer: Writer,
        state: Mapping[str, Any],
        outcomes: list[Json],
        value: Any,
        ctx: StepContext[Any],
    ) -> Json:
        """Tell the model what came of its calls, and return what it asks for or says."""
        leg = Leg(state, outcomes)
        async with AgentStream(self._run(ctx, value["prompt"], leg)) as stream:
            await stream.pipe_to(writer)
            result = await stream.result()
        refuse_tripped(result)
        if leg.reply is not None:
            return leg.reply
        plain = isinstance(self._gives.type, type) and self._gives.type is AgentStepOutput
        given = AgentStepOutput(text=result.text) if plain else result.object
        try:
            return {"output": self._gives.dump(self._gives.load(given))}
        except SchemaMismatch as mismatch:
            raise mismatch.into(
                StepValidationError, f"Output of agent {self._agent.id!r}", stepId=ctx.step_id
            ) from None

    async def _call(
        self, writer: Writer, state: Mapping[str, Any], asked: dict[str, Any], ctx: StepContext[Any]
    ) -> Json:
        """Run one tool call."""
        leg = Leg(state)
        run = self._run(ctx, [], leg)
        call = requested(asked)
        open_agent_span(run)
        try:
            await set_up(run)
            leg.restore(run)
            runner = CallRunner(run, await leg.tools(run), run.messages)
            if ctx.resume_data is not None:
                waits: Mapping[str, Any] = ctx.suspend_data["toolCall"]
                runner.resumptions[call.id] = resumption_of(runner, waits, ctx.resume_data)
            try:
                outcome = await _outcome(run, runner, call, writer)
            finally:
                await runner.aclose()
        finally:
            close_agent_span(run)
            run.release()
        if isinstance(outcome, (NeedsApproval, Suspended)):
            return await _suspend(run, runner, call, outcome, ctx)
        return {**dump_outcome(call, outcome), "noted": noted(run)}


def _own_calls(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [call for call in state["calls"] if not call["isElsewhere"]]


async def _outcome(
    run: AgentRun, runner: CallRunner, call: RequestedCall, writer: Writer
) -> Outcome:
    """Run a call and stream what it writes, and what it waits for.

    Raises:
        ModelError: It ran out of time.
        RunStateError: It was told to stop.
    """
    run.controller.signal.add_listener(run.notify)
    runner.start(call)
    task = runner.tasks[call.id]
    told, is_settled = 0, False
    try:
        while True:
            await flush(run)
            if told < len(run.chunks):
                await writer.write(run.chunks[told].to_wire())
                told += 1
            elif run.pending:
                continue
            elif is_settled:
                return task.result()
            elif task.done():
                is_settled = True
                outcome = task.result()
                if isinstance(outcome, (NeedsApproval, Suspended)):
                    stream_outcome(run, StepResult(""), runner, call, outcome)
            else:
                run.check()
                await run.wait()
    except Interrupted:
        if run.stopped_by != "abort":
            raise out_of_time(run) from None
        raise RunStateError(
            f"Agent {run.spec.id!r} was stopped while tool {call.name!r} ran.",
            details={"runId": run.run_id, "toolCallId": call.id},
        ) from None


async def _suspend(
    run: AgentRun,
    runner: CallRunner,
    call: RequestedCall,
    outcome: NeedsApproval | Suspended,
    ctx: StepContext[Any],
) -> Json:
    waiting = waiting_call(runner, call, outcome)
    return await ctx.suspend(
        {
            "runId": run.run_id,
            "suspendPayload": what_to_answer(waiting),
            "resumeSchema": waiting.resume_schema,
            "toolCall": {
                "tool_call_id": call.id,
                "tool_name": call.name,
                "kind": waiting.kind,
                "suspend_payload": waiting.suspend_payload,
            },
        },
        resume_label=call.id,
    )
