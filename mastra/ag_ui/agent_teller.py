"""From what an agent streams to the events of AG-UI.

At the end of a run nothing may be open, so everything is closed before an end of any kind. A
sub-agent is told of by a teller of its own, whose events carry its run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from ag_ui.core import (
    ActivitySnapshotEvent,
    BaseEvent,
    CustomEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    SubagentErrorEvent,
    SubagentFinishedEvent,
    SubagentStartedEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from mastra.ag_ui.outbox import Outbox, json_text, tool_call
from mastra.ag_ui.usage import usage_of_model, usage_within
from mastra.agents.chunks import AgentChunk
from mastra.agents.loop.recall import UPDATE_TOOL
from mastra.agents.wire import plain
from mastra.ids import new_id
from mastra.jsonable import Json, dump_wire
from mastra.pages.facts import facts_of
from mastra.pages.workflow_parts import WorkflowParts

__all__ = ["AgentTeller", "Telling", "put_data"]


@dataclass(slots=True)
class Telling:
    """How what agents do is told."""

    outbox: Outbox
    text_of_error: Callable[[Any], str]
    """What the page is told of an error."""
    send_reasoning: bool = True
    """Whether the page sees what the model thinks."""


@dataclass(slots=True)
class _Text:
    message_id: str
    head: bytes
    """What is around its deltas, put together once."""
    pieces: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Call:
    name: str
    message_id: str
    is_open: bool = True
    pieces: list[str] = field(default_factory=list[str])


class AgentTeller:
    """Tells of one run of an agent, or of a leg of it."""

    def __init__(self, telling: Telling, subagent: str | None = None, prefix: str = "") -> None:
        self._telling = telling
        self._outbox = telling.outbox
        self._subagent = subagent
        self._tag: dict[str, Any] = {} if subagent is None else {"subagent_run_id": subagent}
        self.message_id = ""
        """The stored message that is being made."""
        self._prefix = prefix
        self._messages = 0
        self._current: str | None = None
        self._has_begun_step = False
        self._texts: dict[str, _Text] = {}
        self._thoughts: dict[str, str] = {}
        self._calls: dict[str, _Call] = {}
        self.pending: dict[str, str] = {}
        """The calls of which nothing has come, with their tools."""
        self._hidden: set[str] = set()
        self.has_new_notes = False
        """Whether the agent's notes were rewritten since somebody looked."""
        self.usage: list[TokenUsage] = []
        """What the steps of this run have used, and those of the agents that it asked."""
        self.result: Json = None
        """The structured output."""
        self._subagents: dict[str, tuple[str, AgentTeller]] = {}
        self._told: set[str] = set()
        self._workflows = WorkflowParts(is_nested=True)
        self._handlers: dict[str, Callable[[str, Any], None]] = {
            "start": self._start,
            "step-start": self._begin_step,
            "step-finish": self._end_step,
            "finish": self._finish,
            "text-start": self._open_text,
            "text-delta": self._text,
            "text-end": self._close_text,
            "tool-call-input-streaming-start": self._start_call,
            "tool-call-delta": self._more_input,
            "tool-call": self._call,
            "tool-result": self._result,
            "tool-error": self._raised,
            "tool-output-denied": self._denied,
            "tool-call-approval": self._waits,
            "tool-call-suspended": self._waits,
            "tool-output": self._written,
            "source": partial(self._custom, "source"),
            "file": partial(self._custom, "file"),
            "object-result": self._object,
            "tripwire": self._tripped,
            "error": self._error,
        }
        if telling.send_reasoning:
            self._handlers |= {
                "reasoning-start": self._open_thought,
                "reasoning-delta": self._thought,
                "reasoning-end": self._close_thought,
            }

    # -- what its owner calls ------------------------------------------------------------------

    def tell(self, chunks: Sequence[AgentChunk]) -> None:
        """Tell of chunks."""
        texts, outbox = self._texts, self._outbox
        for chunk in chunks:
            text = texts.get(chunk.payload.id) if chunk.type == "text-delta" else None
            if text is None:
                self.take(chunk)
            elif chunk.payload.text:
                text.pieces.append(chunk.payload.text)
                outbox.put_encoded(text.head + dump_wire(chunk.payload.text) + b"}\n\n")

    def take(self, chunk: Any) -> None:
        """Tell of one chunk: an `AgentChunk`, or its JSON."""
        kind, run_id, payload = facts_of(chunk)
        if isinstance(chunk, AgentChunk) and kind == "step-finish" and self._has_begun_step:
            self.usage += usage_of_model(chunk.payload.metadata, payload["usage"])
        elif kind == "tool-output":
            self.usage += usage_within(payload["output"])
        self.take_facts(kind, run_id, payload)

    def take_facts(self, kind: str, run_id: str, payload: Any) -> None:
        """Tell of what is known of a chunk."""
        if self._outbox.is_over:
            return
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(run_id, payload)
        elif kind.startswith("data-"):
            put_data(self._outbox, kind, payload, self._subagent)

    def close(self) -> None:
        """Close whatever is open."""
        for block_id in [*self._texts]:
            self._close_text("", {"id": block_id})
        for block_id in [*self._thoughts]:
            self._close_thought("", {"id": block_id})
        for call_id in [*self._calls]:
            self._end_call(call_id)
        for run_id in [*self._subagents]:
            self._end_subagent(run_id)

    # -- steps and messages --------------------------------------------------------------------

    def _put(self, kind: type[BaseEvent], **facts: Any) -> None:
        self._outbox.put(kind(**self._tag, **facts))

    def _start(self, _: str, payload: Mapping[str, Any]) -> None:
        self.message_id = str(payload.get("messageId") or self.message_id)

    def _begin_step(self, _: str, payload: Mapping[str, Any]) -> None:
        self.close()
        self.message_id = str(payload.get("messageId") or self.message_id)
        self._current = None
        self._has_begun_step = True
        # Some models give the calls of each step the same ids.
        self._calls.clear()
        self._hidden.clear()

    def _end_step(self, _: str, payload: Mapping[str, Any]) -> None:
        self.close()
        if payload["reason"] == "retry" and self._current is not None:
            # A processor did not let it stand. What comes in its place has its id, by which a
            # conversation that comes back is known.
            if self._outbox.forget(self._current):
                self._messages -= 1
            self.pending.clear()

    def _message(self) -> str:
        """Return the message that the step's text and calls go into.

        Of a run that is stored as one message the first has that one's id.
        """
        if self._current is None:
            first = f"{self.message_id}{self._prefix}" or new_id()
            self._current = f"{first}-{self._messages}" if self._messages else first
            self._messages += 1
        return self._current

    def _finish(self, _run: str, _payload: Any) -> None:
        self.close()

    # -- text and thoughts ---------------------------------------------------------------------

    def _open_text(self, _: str, payload: Mapping[str, Any]) -> None:
        for block_id in [*self._texts]:
            self._close_text("", {"id": block_id})
        message_id = self._message()
        head: dict[str, Any] = {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id}
        if self._subagent is not None:
            head["subagentRunId"] = self._subagent
        self._texts[str(payload["id"])] = _Text(
            message_id, b"data: " + dump_wire(head)[:-1] + b',"delta":'
        )
        self._put(TextMessageStartEvent, message_id=message_id, role="assistant")

    def _text(self, run_id: str, payload: Mapping[str, Any]) -> None:
        text = self._texts.get(str(payload["id"]))
        if text is None:
            self._open_text(run_id, payload)
            text = self._texts[str(payload["id"])]
        if payload["text"]:
            text.pieces.append(payload["text"])
            self._outbox.put_encoded(text.head + dump_wire(payload["text"]) + b"}\n\n")

    def _close_text(self, _: str, payload: Mapping[str, Any]) -> None:
        text = self._texts.pop(str(payload["id"]), None)
        if text is not None:
            self._outbox.said(text.message_id, "".join(text.pieces), self._subagent)
            self._put(TextMessageEndEvent, message_id=text.message_id)

    def _open_thought(self, _: str, payload: Mapping[str, Any]) -> None:
        thought_id = self._thoughts[str(payload["id"])] = new_id()
        self._put(ReasoningStartEvent, message_id=thought_id)
        self._put(ReasoningMessageStartEvent, message_id=thought_id, role="reasoning")

    def _thought(self, run_id: str, payload: Mapping[str, Any]) -> None:
        block_id = str(payload["id"])
        if block_id not in self._thoughts:
            self._open_thought(run_id, payload)
        if payload["text"]:
            thought_id = self._thoughts[block_id]
            self._put(ReasoningMessageContentEvent, message_id=thought_id, delta=payload["text"])

    def _close_thought(self, _: str, payload: Mapping[str, Any]) -> None:
        thought_id = self._thoughts.pop(str(payload["id"]), None)
        if thought_id is not None:
            self._put(ReasoningMessageEndEvent, message_id=thought_id)
            self._put(ReasoningEndEvent, message_id=thought_id)

    # -- tools ---------------------------------------------------------------------------------

    def _id_of(self, payload: Mapping[str, Any]) -> str:
        """Return the id of a call; two agents may give theirs the same."""
        call_id = str(payload["toolCallId"])
        return call_id if self._subagent is None else f"{self._subagent}:{call_id}"

    def _start_call(self, _: str, payload: Mapping[str, Any]) -> None:
        call_id, name = self._id_of(payload), payload["toolName"]
        if name == UPDATE_TOOL:
            self._hidden.add(call_id)  # the page sees the state that comes of it
        if call_id in self._hidden or call_id in self._calls:
            return
        for block_id in [*self._texts]:
            self._close_text("", {"id": block_id})
        message_id = self._message()
        self._calls[call_id] = _Call(name, message_id)
        if not payload.get("providerExecuted"):
            self.pending[call_id] = name
        self._put(
            ToolCallStartEvent,
            tool_call_id=call_id,
            tool_call_name=name,
            parent_message_id=message_id,
        )

    def _more_input(self, _: str, payload: Mapping[str, Any]) -> None:
        self._add_input(self._id_of(payload), payload["argsTextDelta"])

    def _add_input(self, call_id: str, delta: str) -> None:
        call = self._calls.get(call_id)
        if call is not None and call.is_open and delta:
            call.pieces.append(delta)
            self._put(ToolCallArgsEvent, tool_call_id=call_id, delta=delta)

    def _call(self, run_id: str, payload: Mapping[str, Any]) -> None:
        call_id = self._id_of(payload)
        self._start_call(run_id, payload)
        call = self._calls.get(call_id)
        if call is not None and not call.pieces:
            args: Any = payload.get("args")
            self._add_input(call_id, json_text({} if args is None else args))
        self._end_call(call_id)

    def _end_call(self, call_id: str) -> None:
        call = self._calls.get(call_id)
        if call is not None and call.is_open:
            call.is_open = False
            made = tool_call(call_id, call.name, "".join(call.pieces))
            self._outbox.called(call.message_id, made, self._subagent)
            self._put(ToolCallEndEvent, tool_call_id=call_id)

    def _settle(self, payload: Mapping[str, Any], content: str) -> None:
        call_id = self._id_of(payload)
        self.pending.pop(call_id, None)
        for run_id, (of_call, _) in [*self._subagents.items()]:
            if of_call == call_id:
                self._end_subagent(run_id)
        if call_id in self._hidden or payload.get("toolName") == UPDATE_TOOL:
            self.has_new_notes = True
            return
        self._end_call(call_id)
        message_id = f"{self.message_id or new_id()}-{call_id}-result"
        self._outbox.result(
            ToolCallResultEvent(
                **self._tag,
                message_id=self._outbox.free_id(message_id),
                tool_call_id=call_id,
                content=content,
                role="tool",
            )
        )

    def _result(self, _: str, payload: Mapping[str, Any]) -> None:
        result: Any = payload.get("result")
        if payload.get("isError"):
            known = cast("Mapping[str, Any]", result if isinstance(result, Mapping) else {})
            self._settle(payload, f"Error: {json_text(known.get('message', result))}")
        else:
            self._settle(payload, json_text(result))

    def _raised(self, _: str, payload: Mapping[str, Any]) -> None:
        self._settle(payload, f"Error: {self._telling.text_of_error(payload['error'])}")

    def _denied(self, _: str, payload: Mapping[str, Any]) -> None:
        approval: Any = payload.get("approval") or {}
        reason = approval.get("reason") or "Tool call was not approved by the user"
        self._settle(payload, f"Refused: {reason}")

    def _waits(self, _: str, payload: Mapping[str, Any]) -> None:
        call_id = self._id_of(payload)
        self.pending.pop(call_id, None)
        self._end_call(call_id)

    # -- what tools write, and sub-agents ------------------------------------------------------

    def _written(self, _: str, payload: Mapping[str, Any]) -> None:
        output: Any = payload["output"]
        kind, run_id, inner = facts_of(output)
        if kind.startswith("data-"):
            put_data(self._outbox, kind, inner, self._subagent)
        elif kind.startswith("workflow-"):
            for part in self._workflows.translate(kind, run_id, inner):
                put_data(self._outbox, part["type"], part, self._subagent)
        elif kind and run_id and isinstance(inner, Mapping):
            self._of_subagent(payload, kind, run_id, cast("Mapping[str, Any]", inner))
        else:
            facts = {"toolCallId": payload["toolCallId"], "toolName": payload["toolName"]}
            self._custom("tool-output", "", {**facts, "output": plain(output)})

    def _of_subagent(
        self, payload: Mapping[str, Any], kind: str, run_id: str, inner: Mapping[str, Any]
    ) -> None:
        if run_id not in self._told:
            self._told.add(run_id)
            call_id, tool = self._id_of(payload), str(payload["toolName"])
            name = inner.get("id") if kind == "start" else None
            self._outbox.put(
                SubagentStartedEvent(
                    subagent_run_id=run_id,
                    name=str(name or tool.removeprefix("agent-")),
                    parent_tool_call_id=call_id,
                    parent_subagent_run_id=self._subagent,
                )
            )
            self._subagents[run_id] = call_id, AgentTeller(self._telling, subagent=run_id)
        if run_id not in self._subagents:
            return  # it has ended for the page
        _, teller = self._subagents[run_id]
        if kind in {"error", "tripwire"}:
            teller.close()
            del self._subagents[run_id]
            error = inner.get("error") or {"message": inner.get("reason")}
            text = self._telling.text_of_error(error)
            self._outbox.put(SubagentErrorEvent(subagent_run_id=run_id, message=text))
            return
        teller.take_facts(kind, run_id, inner)
        if kind == "finish":
            self._end_subagent(run_id)

    def _end_subagent(self, run_id: str) -> None:
        _, teller = self._subagents.pop(run_id)
        teller.close()
        self._outbox.put(SubagentFinishedEvent(subagent_run_id=run_id))

    # -- the rest ------------------------------------------------------------------------------

    def _custom(self, name: str, _: str, payload: Json) -> None:
        self._put(CustomEvent, name=name, value=payload)

    def _object(self, _: str, payload: Json) -> None:
        self.result = payload

    def _tripped(self, _: str, payload: Mapping[str, Any]) -> None:
        self.close()
        self._outbox.fail(str(payload.get("reason") or "A processor refused."), "TRIPWIRE")

    def _error(self, _: str, payload: Mapping[str, Any]) -> None:
        self.close()
        error: Any = payload["error"]
        known = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {})
        self._outbox.fail(self._telling.text_of_error(error), known.get("code"))


def put_data(
    outbox: Outbox, kind: str, payload: Mapping[str, Any], subagent: str | None = None
) -> None:
    """Send what a step, a tool or a processor wrote as `data-…`.

    What has an id is an activity, which a later one of the same id replaces in place.
    """
    tag: dict[str, Any] = {} if subagent is None else {"subagent_run_id": subagent}
    data = plain(payload.get("data"))
    if payload.get("id") is None or payload.get("transient") is True:
        outbox.put(CustomEvent(**tag, name=kind, value=data))
        return
    content = cast("dict[str, Any]", data) if isinstance(data, dict) else {"value": data}
    outbox.put(
        ActivitySnapshotEvent(
            **tag,
            message_id=str(payload["id"]),
            activity_type=kind,
            content=content,
            replace=True,
        )
    )
