"""An agent as a step of which every model call and every tool call is an operation of its own.

After a crash the run goes on from the last of them that is recorded: no model is asked again,
and no tool is called again, whose answer is known. The operations are `0.model[turn]` and
`1.tool[turn][call]`, under the step's own place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

from mastra.agents.agent_step import (
    STEP_OPTIONS,
    AgentStepInput,
    AgentStepOutput,
    refuse_tripped,
)
from mastra.agents.agent_stream import AgentStream
from mastra.agents.calls.delegation import SubAgent
from mastra.agents.calls.outcomes import stream_outcome
from mastra.agents.calls.runner import CallRunner
from mastra.agents.chunks import AgentChunk
from mastra.agents.loop.early_end import out_of_time
from mastra.agents.loop.setup import offered_tools, set_up
from mastra.agents.options import AgentSpec, merged, output_of
from mastra.agents.records.ledger import Ledger, asked_in, model_op, noted, requested, tool_op
from mastra.agents.records.meter import NOTHING_USED, Meter
from mastra.agents.records.operation import Operation
from mastra.agents.records.requested_call import NeedsApproval, Outcome, RequestedCall, Suspended
from mastra.agents.records.step_records import dump_outcome, written_from
from mastra.agents.records.told_chunks import ToldChunk, message_id_of, unpacked
from mastra.agents.results import AgentResult, LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.stop_switch import Interrupted
from mastra.agents.run.tracing import close_agent_span, open_agent_span
from mastra.agents.waiting.resume import resumption_of, waiting_call, what_to_answer
from mastra.errors import (
    ResumeValidationError,
    RunStateError,
    StepValidationError,
    WorkflowDefinitionError,
)
from mastra.ids import stable_id
from mastra.jsonable import Json
from mastra.schema import ANY, Schema, SchemaMismatch, schema_of
from mastra.services import Services
from mastra.stream.writer import Writer
from mastra.tools.tool_step import services_of, still_waiting
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Walk
from mastra.workflows.engines.flow import combine, run_items, run_step
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import StepNode, WorkflowSpec
from mastra.workflows.step import Step, check_id
from mastra.workflows.step_context import StepContext, StepWriter

__all__ = ["BuiltAgent", "DurableAgent", "durable_agent_step"]

Call = Callable[[StepContext[Any]], Awaitable[Any]]


class BuiltAgent(SubAgent, Protocol):
    """An agent of this process."""

    @property
    def spec(self) -> AgentSpec:
        """All that it is made of."""
        ...

    def bound_to(self, services: Services) -> BuiltAgent:
        """Return the same agent as one of an application."""
        ...


def durable_agent_step(agent: BuiltAgent, options: Mapping[str, Any]) -> Step[Any, Any]:
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
    durable = DurableAgent(agent, asked, gives, own.get("retries"))
    description = own.get("description") or agent.description or None
    return durable.step(step_id, schema_of(AgentStepInput), description, own.get("metadata"))


async def _walked(_: StepContext[Any]) -> Any:
    raise WorkflowDefinitionError("A durable agent is walked, not called.")


class DurableAgent:
    """What the operations of one durable step share. Holds nothing of any run."""

    def __init__(
        self, agent: BuiltAgent, asked: Mapping[str, Any], gives: Schema[Any], retries: int | None
    ) -> None:
        self._agent = agent
        self._asked = asked
        self._gives = gives
        self._retries = retries

    def step(
        self,
        step_id: str,
        takes: Schema[Any],
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Step[Any, Any]:
        """Return the step that is walked."""
        spec = WorkflowSpec(
            id=step_id,
            nodes=(
                self._node("0.model", "model", "AGENT", _walked),
                self._node("1.tool", "tool", "TOOL", _walked),
            ),
            input_schema=takes,
            output_schema=self._gives,
            description=description,
            metadata=metadata,
            drive=self.drive,
            made_of=self._agent.id,
            unpack=self.unpack,
        )
        return Step(
            id=step_id,
            input_schema=takes,
            output_schema=self._gives,
            execute=_walked,
            call=_walked,
            description=description,
            metadata=metadata,
            retries=self._retries,
            component="AGENT",
            made_of=self._agent.id,
            nested=spec,
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
        block = walk.run.blocks.records[scope.prefix.removesuffix("/")]
        run_id = self.run_id(walk.run.run_id, block)
        desk = _Desk(StepWriter(walk.run, block), Ledger(run_id), value)
        ledger = desk.ledger
        given: Json = value
        while True:
            turn = ledger.turn + 1
            op_id = scope.prefix + model_op(turn)
            node = self._node(op_id, "model", "AGENT", partial(self._ask, desk))
            record = await run_step(walk, scope, node, op_id, given, iteration=turn)
            reply = cast("dict[str, Any]", record.output)
            if "output" in reply:
                return reply["output"]
            ledger.add(reply)
            stem = f"{scope.prefix}1.tool[{turn}]"
            asked = asked_in(reply)
            branches = [
                partial(
                    self._run_call, walk, scope, desk, call, scope.prefix + tool_op(turn, place)
                )
                for place, call in enumerate(asked)
            ]
            outcomes = await run_items(walk, stem, branches, ledger.facts["atOnce"])
            combine(outcomes)
            ledger.settle(asked, outcomes)
            given = None

    async def _run_call(
        self,
        walk: Walk,
        scope: Scope,
        desk: _Desk,
        call: dict[str, Json],
        op_id: str,
    ) -> Json:
        node = self._node(op_id, "tool", "TOOL", partial(self._call, desk, call))
        return (await run_step(walk, scope, node, op_id, call)).output

    # -- what differs for an agent by itself -----------------------------------------------------

    def _asked_for(self, value: Any, ctx: StepContext[Any]) -> tuple[Any, Mapping[str, Any]]:
        """Return the messages and the options of the run."""
        del ctx
        return value["prompt"], self._asked

    def _answer(self, data: Any) -> dict[str, Any]:
        """Return what a call is resumed with, as `resumption_of` takes it.

        `told` beside it is what calls gave that whoever answers has run.
        """
        return {"data": data}

    def _output(self, result: AgentResult[Any]) -> Any:
        """Return what the step gives."""
        is_text = self._gives.type is AgentStepOutput
        return AgentStepOutput(text=result.text) if is_text else result.object

    def run_id(self, run_id: str, block: StepRecord) -> str:
        """Return the agent's own run, which a run of a workflow has at a place of its graph."""
        return stable_id(run_id, block.op_id)

    def unpack(
        self, body: Json, run_id: str, block: StepRecord, records: Mapping[str, StepRecord]
    ) -> Json:
        """Return a chunk that was stored, as Mastra's JSON."""
        return unpacked(body, self.run_id(run_id, block), records)

    # -- the operations ------------------------------------------------------------------------

    def _run(self, ctx: StepContext[Any], desk: _Desk) -> tuple[AgentRun, Operation]:
        """Return the run as an operation finds it."""
        services = services_of(ctx)
        agent = self._agent if services is None else self._agent.bound_to(services)
        messages, asked = self._asked_for(desk.value, ctx)
        options: dict[str, Any] = {
            "request_context": ctx.request_context,
            "abort_signal": ctx.abort_signal,
            **asked,
            "run_id": desk.ledger.run_id,
        }
        run = AgentRun(agent.spec, agent.mastra, messages, merged({}, options))
        run.transcript.message_id = message_id_of(run.run_id)
        run.operation = operation = Operation(run, desk.ledger)
        return run, operation

    async def _ask(self, desk: _Desk, ctx: StepContext[Any]) -> Json:
        """Tell the model what came of its calls, and return what it asks for or says."""
        run, operation = self._run(ctx, desk)
        async with AgentStream(run) as stream:
            async for chunk in stream:
                await desk.tell(chunk, operation)
            if operation.reply is not None:
                return operation.reply
            result = await stream.result()
        refuse_tripped(result)
        try:
            what = f"Output of agent {self._agent.id!r}"
            output = self._gives.pack(self._gives.load(self._output(result)), what=what)
        except SchemaMismatch as mismatch:
            raise mismatch.into(
                StepValidationError, f"Output of agent {self._agent.id!r}", stepId=ctx.step_id
            ) from None
        return {"output": output, **operation.growth()}

    async def _call(self, desk: _Desk, asked: Mapping[str, Any], ctx: StepContext[Any]) -> Json:
        """Run one tool call."""
        ledger = desk.ledger
        run, _ = self._run(ctx, desk)
        call = requested(asked, ledger.facts["broken"])
        told: list[Json] = []
        open_agent_span(run)
        try:
            await set_up(run)
            ledger.lend(run)
            before = run.meter.copy()
            tools = await offered_tools(run, ledger)
            runner = CallRunner(run, tools)
            if ctx.resume_data is not None:
                run.meter.restore(ctx.suspend_data.get("used", NOTHING_USED))
                waits: Mapping[str, Any] = ctx.suspend_data["toolCall"]
                call.written = written_from(waits.get("written", ()))
                answer = self._answer(ctx.resume_data)
                told = [*ctx.suspend_data.get("told", ()), *answer.pop("told", ())]
                try:
                    runner.resumptions[call.id] = resumption_of(runner, waits, **answer)
                except ResumeValidationError as error:
                    # It waits on; whoever answered is told.
                    return await ctx.suspend(still_waiting(ctx, error), resume_label=call.id)
            try:
                outcome = await _outcome(run, runner, call, desk.tell)
            finally:
                await runner.aclose()
        finally:
            run.status = "parked"
            close_agent_span(run)
            run.meter.close()
            run.switch.release()
        if isinstance(outcome, (NeedsApproval, Suspended)):
            return await _suspend(run, runner, call, outcome, ctx, before, told)
        used = run.meter.to_json(before)
        more: dict[str, Json] = {"noted": noted(run), "used": used, "told": told}
        if more["used"] == NOTHING_USED:
            del more["used"]
        return {**dump_outcome(call, outcome), **{key: more[key] for key in more if more[key]}}


class _Desk:
    """What the operations of one leg of a durable run share."""

    def __init__(self, writer: Writer, ledger: Ledger, value: Any) -> None:
        self.writer = writer
        self.ledger = ledger
        self.value = value
        """The input of the step."""

    async def tell(self, chunk: AgentChunk, operation: Operation | None = None) -> None:
        """Stream a chunk."""
        await self.writer.write(ToldChunk(chunk, operation))


async def _outcome(
    run: AgentRun,
    runner: CallRunner,
    call: RequestedCall,
    tell: Callable[[AgentChunk], Awaitable[None]],
) -> Outcome:
    """Run a call and stream what it writes, and what it waits for.

    Raises:
        ModelError: It ran out of time.
        RunStateError: It was told to stop.
    """
    run.switch.signal.add_listener(run.notify)
    runner.start(call)
    task = runner.tasks[call.id]
    told, is_settled = 0, False
    try:
        while True:
            await run.flush()
            if told < len(run.chunks):
                await tell(run.chunks[told])
                told += 1
            elif is_settled:
                return task.result()
            elif task.done():
                is_settled = True
                outcome = task.result()
                if isinstance(outcome, (NeedsApproval, Suspended)):
                    stream_outcome(run, LLMStepResult(""), runner, call, outcome)
            else:
                run.switch.check()
                await run.tools_told()
    except Interrupted:
        if run.switch.reason != "abort":
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
    before: Meter,
    told: list[Json],
) -> Json:
    waiting = waiting_call(runner, call, outcome)
    more = {"told": told} if told else {}
    return await ctx.suspend(
        {
            **more,
            "runId": run.run_id,
            "suspendPayload": what_to_answer(waiting),
            "resumeSchema": waiting.resume_schema,
            "toolCall": waiting.to_stored(),
            "used": run.meter.to_json(before),
        },
        resume_label=call.id,
    )
