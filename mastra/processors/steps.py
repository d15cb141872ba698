"""Processors as steps of a workflow, and such a workflow as a processor.

What goes from step to step are live objects (messages, chunks, an agent's context), and a run's
records are JSON. So a record holds a number, and the objects lie in a table of this one run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import SchemaSerializer, core_schema

from mastra.errors import ConfigError, RunStateError, TripwireError
from mastra.models.message_forms import message_from, messages_from
from mastra.models.messages import Message
from mastra.processors.base import (
    METHODS,
    ProcessorContext,
    TripwireSignal,
    changed,
    method_of,
    processor_id,
    shown_to,
)
from mastra.workflows.results import WorkflowFailed, WorkflowSuccess, WorkflowTripwire
from mastra.workflows.spec import StepNode, WorkflowSpec
from mastra.workflows.step import Step, create_step
from mastra.workflows.step_context import StepContext
from mastra.workflows.workflow import Workflow

__all__ = ["ProcessorMoment", "ProcessorStepData", "WorkflowProcessor", "processor_step"]


_table: ContextVar[list[ProcessorMoment] | None] = ContextVar("mastra_moments", default=None)


def _dump(moment: ProcessorMoment) -> dict[str, Any]:
    table = _table.get()
    if table is None:
        raise ValueError("it exists within an agent's run alone")
    table.append(moment)
    return {"phase": moment.phase, "moment": len(table) - 1}


@dataclass(slots=True)
class ProcessorMoment:
    """What processors look at, on its way from step to step. Each step gives a new one."""

    phase: str
    """Which method is called: `input`, `input_step`, `output_stream`, `tool_result` and so on."""
    context: Any
    """What the method gets, as the agent made it: the text, the tool's name and so on."""
    messages: list[Message]
    """The conversation, as the steps so far have left it."""
    system_messages: list[Message]
    """The instructions, likewise."""
    part: Any = None
    """At `output_stream`: the chunk; `None` once a step has dropped it."""
    extra: list[Any] = field(default_factory=list[Any])
    """At `output_stream`: chunks to stream before it."""
    prompt: Any = None
    """At `llm_request`: what goes to the model."""
    response: str | None = None
    """At `llm_request`: the answer of a step that has one."""
    result: Any = None
    """At `tool_result`: what the tool gave."""
    changes: dict[str, Any] = field(default_factory=dict[str, Any])
    """At `input_step`: what is to be changed for the step."""
    retry: bool = False
    """At `api_error`: whether the model is asked again."""
    origin: ProcessorMoment | None = field(default=None, repr=False)
    """What the step that gave it was given."""

    __pydantic_serializer__: ClassVar[SchemaSerializer] = SchemaSerializer(
        core_schema.any_schema(
            serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )
    )
    """For steps that do not say what they give, such as a `map`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> core_schema.CoreSchema:
        """Read it back by what it is kept as: where it stands in the agent's table."""
        return core_schema.no_info_plain_validator_function(
            _load, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to look at: the chunk is dropped, or an answer is there."""
        is_dropped = self.phase == "output_stream" and self.part is None and not self.extra
        return is_dropped or self.response is not None


def _load(value: Any) -> ProcessorMoment:
    table = _table.get()
    if isinstance(value, ProcessorMoment):
        return value
    if table is None or not isinstance(value, Mapping):
        raise ValueError("a workflow of processors is run by an agent, which gives it its input")
    known = cast("Mapping[str, Any]", cast("object", value))
    if "moment" in known:
        return table[int(known["moment"])]
    # What parallel steps and branches give: one each, by id; nothing where no branch was taken.
    found = [_load(item) for item in known.values()]
    return _together(found) if found else table[-1]


ProcessorStepData: TypeAlias = Annotated[
    ProcessorMoment,
    PlainValidator(_load),
    PlainSerializer(_dump, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object", "title": "ProcessorStepData"}),
]
"""What a workflow of processors takes and gives, as its `input_schema` and `output_schema`.

After `parallel` and `branch`, it is put together from what each step changed; where two changed
the same, the later one's holds.
"""


def _together(moments: list[ProcessorMoment]) -> ProcessorMoment:
    merged, *others = moments
    for other in others:
        before = other.origin
        for column in fields(other):
            value = getattr(other, column.name)
            is_kept = before is None or column.name == "origin"
            if not is_kept and value != getattr(before, column.name):
                merged = replace(merged, **{column.name: value})
    return merged


_processors: Final[WeakKeyDictionary[Callable[..., Any], Any]] = WeakKeyDictionary()
"""The processors that steps were made of, by the steps' functions."""


def processor_step(processor: Any, **options: Any) -> Step[Any, Any]:
    """Return a processor as a step of a workflow of processors, `processor:<id>`.

    Args:
        processor: Any object with methods of `Processor`.
        options: `id`, `description`, `retries` and `metadata` of the step.

    Raises:
        ConfigError: It has none of the methods.
    """
    name = processor_id(processor)
    if not any(method_of(processor, method) for method in METHODS):
        raise ConfigError(f"{processor!r} is not a processor: it has none of its methods.")

    async def execute(ctx: StepContext[Any]) -> ProcessorMoment:
        moment: ProcessorMoment = ctx.input_data
        method = method_of(processor, f"process_{moment.phase}")
        if method is None or moment.is_settled:
            return moment
        see = partial(_seen, step_id=ctx.step_id, processor=processor, method=method)
        return await (_seen_with_extra(moment, see) if moment.extra else see(moment))

    _processors[execute] = processor
    made: dict[str, Any] = {
        "id": f"processor:{name}",
        "input_schema": ProcessorStepData,
        "output_schema": ProcessorStepData,
        "component": "PROCESSOR",
        **options,
    }
    return create_step(execute=execute, **made)


async def _seen_with_extra(
    moment: ProcessorMoment, see: Callable[[ProcessorMoment], Awaitable[ProcessorMoment]]
) -> ProcessorMoment:
    """Show chunks that a step has put before the one that it gave, and that one."""
    shown: list[Any] = []
    for part in moment.extra:
        one = await see(replace(moment, part=part, extra=[]))
        shown += one.extra if one.part is None else [*one.extra, one.part]
    after = replace(moment, extra=[])
    if moment.part is not None:
        after = await see(after)
    return replace(after, extra=[*shown, *after.extra], origin=moment)


async def _seen(
    moment: ProcessorMoment, step_id: str, processor: Any, method: Callable[..., Any]
) -> ProcessorMoment:
    """Show a moment to one processor, and return what it makes of it."""
    context: ProcessorContext = moment.context
    own: dict[str, Any] = {
        "processor_id": processor_id(processor),
        "messages": [*moment.messages],
        "system_messages": [*moment.system_messages],
        "state": context.state.setdefault(step_id, {}),
    }
    given: dict[str, Any] = {
        "part": moment.part,
        "extra": [],
        "prompt": moment.prompt,
        "result": moment.result,
    }
    own.update({key: value for key, value in given.items() if hasattr(context, key)})
    shown: Any = replace(context, **own)
    try:
        answer = await shown_to(processor, method, shown)
    except TripwireSignal as signal:
        # A signal would end the engine's own task, so it crosses the workflow as an error.
        raise TripwireError(
            signal.reason,
            details={
                "retry": signal.retry,
                "metadata": signal.metadata,
                "processorId": signal.processor_id,
            },
        ) from None
    after = replace(
        moment,
        messages=shown.messages,
        system_messages=shown.system_messages,
        changes=dict(moment.changes),
        origin=moment,
    )
    _apply(after, shown, answer)
    return after


def _apply(after: ProcessorMoment, shown: Any, answer: Any) -> None:
    match after.phase:
        case "output_stream":
            after.part, after.extra = answer, [*after.extra, *shown.extra]
        case "tool_result":
            after.result = after.result if answer is None else answer
        case "input_step":
            _change_step(after, changed(answer))
        case "llm_request":
            known = changed(answer)
            after.prompt = messages_from(known.get("prompt") or after.prompt)
            if known.get("response") is not None:
                after.response = str(known["response"])
        case "api_error":
            after.retry = after.retry or answer is True
            if isinstance(answer, Mapping):
                known = cast("Mapping[str, Any]", answer)
                after.retry = after.retry or known.get("retry") is True
                _take(after, known)
        case "input" | "output_result":
            _take(after, changed(answer))
        case _:
            pass


def _change_step(after: ProcessorMoment, changes: Mapping[str, Any]) -> None:
    after.changes.update(changes)
    if "messages" in changes:
        messages = messages_from(changes["messages"])
        after.messages = [item for item in messages if item.role != "system"]
    if "system" in changes:
        given: Any = changes["system"]
        told = cast("Sequence[Any]", given) if isinstance(given, (list, tuple)) else [given]
        after.system_messages = [
            Message("system", item) if isinstance(item, str) else message_from(item)
            for item in told
        ]


def _take(after: ProcessorMoment, changes: Mapping[str, Any]) -> None:
    if "messages" in changes:
        messages = messages_from(changes["messages"])
        after.messages = [item for item in messages if item.role != "system"]
        after.system_messages += [item for item in messages if item.role == "system"]
    if "system_messages" in changes:
        after.system_messages = [
            Message("system", item) if isinstance(item, str) else item
            for item in changes["system_messages"]
        ]


class WorkflowProcessor:
    """A committed workflow of processors, as one processor.

    Args:
        workflow: Takes and gives `ProcessorStepData`.

    Raises:
        ConfigError: None of its steps is a processor.
    """

    def __init__(self, workflow: Workflow[Any, Any, Any]) -> None:
        self.id = workflow.id
        self._workflow = workflow
        found = [
            processor
            for step in _steps(workflow.spec)
            if (processor := _processors.get(step.execute)) is not None
        ]
        if not found:
            raise ConfigError(
                f"Workflow {workflow.id!r} is no processor: none of its steps is one. Make them "
                "with create_step(processor)."
            )
        self._methods = {name for name in METHODS if any(method_of(item, name) for item in found)}

    def __repr__(self) -> str:
        return f"WorkflowProcessor({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowProcessor) and other._workflow is self._workflow

    def __hash__(self) -> int:
        return hash(id(self._workflow))

    def method_for(self, name: str) -> Any:
        """Return what stands for a method of a processor; `None` where no step has it."""
        if name not in self._methods:
            return None

        async def run(context: Any) -> Any:
            moment = ProcessorMoment(
                name.removeprefix("process_"),
                context,
                context.messages,
                context.system_messages,
                part=getattr(context, "part", None),
                prompt=getattr(context, "prompt", None),
                result=getattr(context, "result", None),
            )
            return _answer(await self._run(moment), context)

        return run

    async def _run(self, moment: ProcessorMoment) -> ProcessorMoment:
        token = _table.set([])
        try:
            run = await self._workflow.create_run()
            result = await run.start(input_data=moment)
            await self._workflow.delete_run(run.run_id)
            match result:
                case WorkflowSuccess():
                    return _load(result.raw)
                case WorkflowTripwire():
                    told: Mapping[str, Any] = result.tripwire
                    raise TripwireSignal(
                        str(told.get("reason", "")),
                        retry=bool(told.get("retry")),
                        metadata=told.get("metadata"),
                        processor_id=str(told.get("processorId", self.id)),
                    )
                case WorkflowFailed():
                    raise result.error
                case _:
                    raise RunStateError(
                        f"Workflow {self.id!r} ended as {result.status!r}. A workflow of "
                        "processors runs while the agent waits, so it cannot suspend."
                    )
        finally:
            _table.reset(token)


def _answer(moment: ProcessorMoment, context: Any) -> Any:
    """Return a moment as the method of a processor would."""
    messages = {"messages": moment.messages, "system_messages": moment.system_messages}
    match moment.phase:
        case "output_stream":
            context.extra.extend(moment.extra)
            return moment.part
        case "tool_result":
            return moment.result
        case "input_step":
            return moment.changes
        case "llm_request":
            return {"prompt": moment.prompt, "response": moment.response}
        case "api_error":
            return {**messages, "retry": moment.retry}
        case "input" | "output_result":
            return messages
        case _:
            return None


def _steps(spec: WorkflowSpec) -> Iterator[Step[Any, Any]]:
    for one in spec.with_nested():
        for node in one.nodes:
            yield from (unit.step for unit in node.units if isinstance(unit, StepNode))
