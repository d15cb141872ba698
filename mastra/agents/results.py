"""What came of a step, and of a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from typing_extensions import TypeVar

from mastra.agents.chunks import AgentChunk, Payload, TripwirePayload, error_to_wire, plain
from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.models.chunks import Usage
from mastra.models.message_wire import message_to_wire, part_to_wire
from mastra.models.messages import DataPart, Message, MessagePart, TextPart, ToolResultPart
from mastra.models.prices import Spending, cost_usd, total_cost_usd
from mastra.models.stored_messages import is_ours, to_stored_wire
from mastra.names import FieldsByName, python_names

__all__ = [
    "AgentResult",
    "FinishOutput",
    "FinishPayload",
    "LLMStepResult",
    "StepOutcome",
    "step_payload",
    "stored_form",
]

Obj = TypeVar("Obj", default=Any)


@dataclass(slots=True)
class LLMStepResult:
    """One model call with the tools it asked for."""

    step_type: str
    """`initial`, or `tool-result` for a step that answers tools."""
    text: str = ""
    """What the model said."""
    reasoning_text: str = ""
    """What it thought."""
    tool_calls: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """What it asked for."""
    tool_results: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """What came of it; tools that raised are not among them."""
    content: list[MessagePart] = field(default_factory=list[MessagePart])
    """Everything, in order, as message parts."""
    finish_reason: str = "unknown"
    """Why the model stopped."""
    raw_reason: str | None = None
    """In the provider's word."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of this step."""
    warnings: list[Any] = field(default_factory=list[Any])
    """What the provider did not like."""
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What was sent."""
    response: dict[str, Json] = field(default_factory=dict[str, Json])
    """Who answered, when, with what headers."""
    provider_metadata: Mapping[str, Any] | None = None
    """Further facts, keyed by provider."""
    sources: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """What the model drew on."""
    files: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """What the model made."""
    tripwire: TripwirePayload | None = None
    """A processor's refusal."""
    model: str = ""
    """`provider/model` of the model that answered."""
    run_id: str = ""
    """The run it belongs to."""
    object: Any = None
    """The structured output, where this step gave it."""

    @property
    def reasoning(self) -> str:
        """What it thought, by the name that a whole result has for it too."""
        return self.reasoning_text

    @property
    def cost_usd(self) -> float | None:
        """What the model call cost, in US dollars; `None` where no price is known."""
        return cost_usd(self.model, self.usage, self.response.get("modelId"))

    def metadata(self) -> dict[str, Any]:
        """Return who answered, as `step-finish` tells it."""
        provider, _, model = self.model.partition("/")
        return {
            **self.response,
            "modelMetadata": {"modelId": model or provider, "modelProvider": provider},
        }

    def response_messages(self) -> list[Json]:
        """Return the messages the step made, as Mastra's JSON."""
        said = [
            part_to_wire(part)
            for part in self.content
            if not is_ours(part) and not isinstance(part, DataPart)
        ]
        results = [part_to_wire(part) for part in self.content if is_ours(part)]
        messages: list[Json] = [{"role": "assistant", "content": said}] if said else []
        return [*messages, {"role": "tool", "content": results}] if results else messages

    def to_short_wire(self) -> dict[str, Json]:
        """Return what `step-finish` and `finish` tell of the step.

        What it said and what came of its calls has been streamed by then, and is among the
        messages of `finish`: neither is told here again.
        """
        known = TextPart | ToolResultPart | DataPart
        told = (part for part in self.content if not isinstance(part, known))
        return self._wire([part_to_wire(part) for part in told], [])

    def _wire(self, content: list[Json], messages: list[Json]) -> dict[str, Json]:
        wire: dict[str, Json] = {
            "content": content,
            "usage": self.usage.to_wire(),
            "warnings": self.warnings,
            "response": {**self.response, "messages": messages},
        }
        if self.provider_metadata is not None:
            wire["providerMetadata"] = plain(self.provider_metadata)
        return wire

    def to_wire(self, run_id: str | None = None) -> dict[str, Json]:
        """Return Mastra's JSON.

        Args:
            run_id: Of which run it is, where that is told.
        """
        wire: dict[str, Json] = {
            "stepType": self.step_type,
            "sources": plain(self.sources),
            "files": plain(self.files),
            "toolCalls": plain(self.tool_calls),
            "toolResults": plain(self.tool_results),
            "text": self.text,
            "reasoningText": self.reasoning_text,
            "reasoning": _reasoning(self.reasoning_text, run_id),
            "staticToolCalls": [],
            "dynamicToolCalls": [],
            "staticToolResults": [],
            "dynamicToolResults": [],
            "finishReason": self.finish_reason,
            "request": plain(self.request),
            **self._wire([part_to_wire(part) for part in self.content], self.response_messages()),
        }
        if self.tripwire is not None:
            wire["tripwire"] = self.tripwire.to_wire()
        return wire


def _reasoning(text: str, run_id: str | None) -> list[Json]:
    """Return what was thought as one chunk, and its text beside it for readers of parts."""
    if not text:
        return []
    chunk: dict[str, Json] = {"type": "reasoning", "from": "AGENT", "payload": {"text": text}}
    return [chunk | {"text": text} | ({} if run_id is None else {"runId": run_id})]


@dataclass(slots=True)
class StepOutcome(Payload):
    """Why a step or a run ended."""

    reason: str
    """Mastra's word."""
    raw_reason: str | None = None
    """The provider's word."""
    is_continued: bool = False
    """Whether another step follows."""
    retry_reason: str | None = None
    """Why a processor asked the model again."""
    retry_processor_id: str | None = None
    """Which processor."""


@dataclass(slots=True)
class FinishOutput:
    """What a step or a run gave."""

    text: str
    """What the model said in the last step."""
    tool_calls: list[AgentChunk]
    """What it asked for in the last step."""
    usage: Usage
    """Tokens: of the step, or at `finish` of the run."""
    steps: list[LLMStepResult]
    """The step, or at `finish` all of them."""
    object: Any = None
    """The structured output, if any."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        wire: dict[str, Json] = {
            "text": self.text,
            "toolCalls": [plain(call.payload) for call in self.tool_calls],
            "usage": self.usage.to_wire(),
            "steps": [step.to_short_wire() for step in self.steps],
        }
        if self.object is not None:
            wire["object"] = plain(self.object)
        return wire


@dataclass(slots=True)
class FinishPayload(FieldsByName):
    """`step-finish` and `finish`."""

    message_id: str
    """The id of the message being made."""
    step_result: StepOutcome
    """Why it ended."""
    output: FinishOutput
    """What it gave."""
    metadata: dict[str, Json]
    """Who answered."""
    messages: list[Message] = field(default_factory=list[Message])
    """At `finish`: the conversation."""
    response: dict[str, Json] | None = None
    """At `finish`: who answered."""
    given_count: int = 0
    """How many of the messages were there before the run said anything."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        told = [message_to_wire(message) for message in self.messages]
        given, added = told[: self.given_count], told[self.given_count :]
        everything = [message for message in told if message["role"] != "system"]
        # What the run was given, answers of earlier turns too, and what was said to it meanwhile.
        user = [message for message in given if message["role"] != "system"]
        user += [message for message in added if message["role"] == "user"]
        # Told once; again only where the client goes on from it, with what its own tools gave.
        is_clients_turn = self.step_result.reason == "tool-calls"
        said = [message for message in added if message["role"] not in ("system", "user")]
        others = said if is_clients_turn else []
        wire: dict[str, Json] = {
            "messageId": self.message_id,
            "stepResult": self.step_result.to_wire(),
            "metadata": self.metadata,
            "output": self.output.to_wire(),
            "messages": {"all": everything, "user": user, "nonUser": others},
        }
        if self.response is not None:
            wire["response"] = self.response
        return wire


def step_payload(message_id: str, outcome: StepOutcome, step: LLMStepResult) -> FinishPayload:
    """Return what is streamed at the end of a step."""
    output = FinishOutput(step.text, step.tool_calls, step.usage, [step], step.object)
    return FinishPayload(message_id, outcome, output, step.metadata())


@python_names
@dataclass(slots=True, repr=False)
class AgentResult(Generic[Obj]):
    """Everything that came of a run: what `generate()` returns."""

    text: str
    """What the model said, in all steps."""
    usage: Usage
    """Tokens of the whole run."""
    steps: list[LLMStepResult]
    """Its steps."""
    finish_reason: str
    """Why it ended."""
    run_id: str
    """The run."""
    messages: list[Message]
    """The conversation: what came in, what was said, tool calls and their results."""
    reasoning_text: str = ""
    """What the model thought, in all steps."""
    tool_calls: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """Every call, as its `tool-call` chunk."""
    tool_results: list[AgentChunk] = field(default_factory=list[AgentChunk])
    """Every result, as its `tool-result` chunk."""
    object: Obj = None  # pyright: ignore[reportAssignmentType] - as `Any` where none is asked for
    """The structured output, a value of its type."""
    used_fallback_value: bool = False
    """Whether `object` is the fallback value."""
    error: BaseException | None = None
    """What went wrong."""
    tripwire: TripwirePayload | None = None
    """A processor's refusal."""
    suspend_payload: Any = None
    """What the run waits for."""
    resume_schema: str | None = None
    """The JSON Schema of the answer it waits for, as text."""
    remembered_messages: list[Message] = field(default_factory=list[Message])
    """Those of the messages that came from memory."""
    spending: Sequence[Spending] = ()
    """Each model request that was answered, those of agents that were asked included."""
    trace: Mapping[str, Json] | None = None
    """`traceId` and `spanId`, where somebody traces."""
    scoring_data: Mapping[str, Json] | None = None
    """What a scorer sees, `input` and `output`, where `return_scorer_data` asked for it."""

    def __repr__(self) -> str:
        """Tell what came of the run; its steps and messages are for whoever asks for them."""
        shown = [
            "text",
            "object",
            "finish_reason",
            "error",
            "tripwire",
            "suspend_payload",
            "run_id",
        ]
        told = [f"{name}={value!r}" for name in shown if (value := getattr(self, name)) is not None]
        counts = [f"{len(self.steps)} steps", f"{len(self.tool_calls)} tool calls"]
        return f"AgentResult({', '.join(told)}: {', '.join(counts)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text or repr(self), "text/markdown": self.text or repr(self)}

    @property
    def total_usage(self) -> Usage:
        """Tokens of the whole run."""
        return self.usage

    @property
    def cost_usd(self) -> float | None:
        """What the run cost, in US dollars, with the agents that it asked.

        `None` where no price is known of one of the models that answered.
        """
        return total_cost_usd(self.spending)

    @property
    def reasoning(self) -> str:
        """What the model thought, in all steps."""
        return self.reasoning_text

    @property
    def last_step(self) -> LLMStepResult | None:
        """The last step, if there was one."""
        return self.steps[-1] if self.steps else None

    @property
    def request(self) -> Mapping[str, Any]:
        """What was sent for the last step."""
        return self.steps[-1].request if self.steps else {}

    @property
    def response(self) -> dict[str, Json]:
        """Who answered the last step."""
        return self.steps[-1].response if self.steps else {}

    @property
    def warnings(self) -> list[Any]:
        """What the provider did not like."""
        return [warning for step in self.steps for warning in step.warnings]

    @property
    def provider_metadata(self) -> Mapping[str, Any] | None:
        """Further facts of the last step, keyed by provider."""
        return self.steps[-1].provider_metadata if self.steps else None

    @property
    def sources(self) -> list[AgentChunk]:
        """What the model drew on."""
        return [source for step in self.steps for source in step.sources]

    @property
    def files(self) -> list[AgentChunk]:
        """What the model made."""
        return [file for step in self.steps for file in step.files]

    def _what_waits(self) -> dict[str, Any] | None:
        """Return the call that the run waits for, as clients answer it: with its id."""
        if self.finish_reason != "suspended":
            return None
        given = {result.payload.tool_call_id for result in self.tool_results}
        calls = (call.payload for call in self.tool_calls)
        call = next((call for call in calls if call.tool_call_id not in given), None)
        if call is None:  # one of an agent's that runs elsewhere
            return self.suspend_payload
        asked = {"toolCallId": call.tool_call_id, "toolName": call.tool_name, "args": call.args}
        own = {} if asked == self.suspend_payload else {"suspendPayload": self.suspend_payload}
        return {**asked, **own, "resumeSchema": self.resume_schema}

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        usage = self.usage.to_wire()
        wire: dict[str, Json] = {
            "text": self.text,
            "usage": usage,
            "steps": [step.to_wire(self.run_id) for step in self.steps],
            "finishReason": self.finish_reason,
            "warnings": self.warnings,
            "request": plain(self.request),
            "reasoning": _reasoning(self.reasoning_text, self.run_id),
            "reasoningText": self.reasoning_text,
            "toolCalls": plain(self.tool_calls),
            "toolResults": plain(self.tool_results),
            "sources": plain(self.sources),
            "files": plain(self.files),
            "response": {
                **self.response,
                # Of all steps: clients put them before the results of their own tools.
                "messages": [said for step in self.steps for said in step.response_messages()],
            },
            "totalUsage": usage,
            "usedFallbackValue": self.used_fallback_value,
            "runId": self.run_id,
            "messages": to_stored_wire(self.messages),
            "rememberedMessages": to_stored_wire(self.remembered_messages),
        }
        optional: dict[str, Any] = {
            "providerMetadata": self.provider_metadata,
            "object": self.object,
            "error": None if self.error is None else error_to_wire(self.error),
            "tripwire": self.tripwire,
            "suspendPayload": self._what_waits(),
            "resumeSchema": self.resume_schema,
            "scoringData": self.scoring_data,
        }
        wire.update({key: plain(value) for key, value in optional.items() if value is not None})
        wire.update(self.trace or {})
        return wire


def stored_form(message: Message) -> dict[str, Json]:
    """Return a message as Mastra's storage writes it."""
    wire: dict[str, Json] = {
        "id": message.id,
        "role": message.role,
        "createdAt": iso_from_ms(message.created_at),
        "content": {
            "format": 2,
            "parts": [part_to_wire(part) for part in message.parts],
            "content": message.text,
        },
    }
    if message.metadata:
        wire["content"]["metadata"] = plain(dict(message.metadata))
    return wire
