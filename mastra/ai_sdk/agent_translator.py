"""From what an agent streams to what a page of the AI SDK is sent.

A page takes an `error` for the end and leaves open for ever what is not closed, so everything is
closed before an end of any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from mastra.agents.chunks import AgentChunk, error_to_wire
from mastra.ai_sdk.chunks import (
    StreamOptions,
    UIChunk,
    asks_approval,
    custom_chunk,
    text_of_error,
)
from mastra.ai_sdk.sub_agents import SubAgents
from mastra.jsonable import Json, dump_wire
from mastra.models.chunks import Usage
from mastra.pages.facts import approval_id, facts_of, framed, without_none
from mastra.pages.workflow_parts import WorkflowParts

__all__ = ["AgentTranslator"]

_REASONS: Final = frozenset(("stop", "length", "content-filter", "tool-calls", "error", "other"))
_ENDS: Final = {"failed": "error", "aborted": "aborted", "canceled": "aborted"}
"""Why a run ended whose `finish` has not been seen, by its status."""


class AgentTranslator:
    """Shows one message: the runs of an agent that it is made of, one after the other."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._out: list[UIChunk] = []
        self._has_started = False
        self.is_over = False
        """Whether the message has been finished."""
        self.goes_on = False
        """Whether it goes on where its run ends well: another run follows."""
        self._used = Usage()
        """What the runs before have used."""
        self._open: dict[str, str] = {}
        self._heads: dict[str, bytes] = {}
        self._in_step = False
        self._step: list[UIChunk] | None = None
        self._shown = set(options.known_calls or ())
        self._started: set[str] = set()
        self._pending: dict[str, str] = {}
        self._sub_agents = SubAgents()
        self._workflows = WorkflowParts(is_nested=True)
        self._handlers: dict[str, Callable[[str, Any], None]] = {
            "start": self._start,
            "step-start": self._begin_step,
            "step-finish": self._end_step,
            "finish": self._finished,
            "text-start": partial(self._block, "text", "start"),
            "text-delta": partial(self._block, "text", "delta"),
            "text-end": partial(self._block, "text", "end"),
            "tool-call-input-streaming-start": self._start_call,
            "tool-call-delta": self._more_input,
            "tool-call": self._call,
            "tool-result": self._result,
            "tool-error": self._raised,
            "tool-output-denied": self._denied,
            "tool-call-approval": self._approval,
            "tool-call-suspended": self._suspended,
            "tool-output": self._written,
            "file": self._file,
            "object-result": self._object,
            "tripwire": self._tripped,
            "error": self._error,
            "abort": self._abort,
        }
        if options.send_reasoning:
            self._handlers |= {
                f"reasoning-{part}": partial(self._block, "reasoning", part)
                for part in ("start", "delta", "end")
            }
        if options.send_sources:
            self._handlers["source"] = self._source

    # -- what its owner calls ------------------------------------------------------------------

    def begin(self) -> list[UIChunk]:
        """Return what opens a message that goes on: its id is known before its run says anything."""
        if self._options.message_id is not None:
            self._start("", {})
        return self._taken()

    def frames(self, chunks: Sequence[AgentChunk]) -> bytes:
        """Return chunks as server-sent events."""
        heads = self._heads
        if len(chunks) == 1:
            chunk = chunks[0]
            if chunk.type == "text-delta" and chunk.payload.id in heads:
                return heads[chunk.payload.id] + dump_wire(chunk.payload.text) + b"}\n\n"
        made: list[bytes] = []
        for chunk in chunks:
            if chunk.type == "text-delta" and chunk.payload.id in heads:
                made.append(heads[chunk.payload.id] + dump_wire(chunk.payload.text) + b"}\n\n")
            else:
                made += map(framed, self.translate(chunk))
        return b"".join(made)

    def translate(self, chunk: Any) -> list[UIChunk]:
        """Return what a chunk becomes: nothing, or one thing or more.

        Args:
            chunk: An `AgentChunk`, or its JSON.
        """
        kind: str = chunk.type if isinstance(chunk, AgentChunk) else chunk.get("type", "")
        handler = self._handlers.get(kind)
        is_data = kind.startswith("data-")
        if self.is_over or not (is_data or handler):
            return []
        _, run_id, payload = facts_of(chunk)
        if handler is not None:
            handler(run_id, payload)
        else:
            self._put(custom_chunk(kind, payload))
        return self._taken()

    def answered(self, call_id: str, output: Mapping[str, Any]) -> list[UIChunk]:
        """Return what a page made of a call that it ran, for another that looks at the message.

        Args:
            call_id: The call.
            output: `output`, or `errorText`.
        """
        kind = "tool-output-error" if "errorText" in output else "tool-output-available"
        self._settle(call_id, "", None, {"type": kind, **output})
        return self._taken()

    def suspend(self, usage: Mapping[str, Any] | None = None) -> list[UIChunk]:
        """Return what ends the message where its run waits for somebody's answer."""
        self._close()
        self._take_back()
        self._finish("suspended", usage)
        return self._taken()

    def fail(self, error: BaseException) -> list[UIChunk]:
        """Return what ends the message with an error."""
        if not self.is_over:
            self._error("", {"error": error_to_wire(error)})
        return self._taken()

    def end(self, status: str, usage: Mapping[str, Any] | None = None) -> list[UIChunk]:
        """Return what ends the message, unless its end has come.

        Args:
            status: How its last run ended.
            usage: What it has used.
        """
        if status == "suspended":
            return [] if self.is_over else self.suspend(usage)
        if not self.is_over:
            self._close()
            if status in {"aborted", "canceled"}:
                self._put({"type": "abort"})
            self._finish(_ENDS.get(status, "other"), usage)
        return self._taken()

    # -- the message ---------------------------------------------------------------------------

    def _taken(self) -> list[UIChunk]:
        out, self._out = self._out, []
        return out

    def _put(self, chunk: UIChunk) -> None:
        if not self._has_started:
            self._start("", {})
        self._out.append(chunk)
        if self._step is not None:
            self._step.append(chunk)

    def _start(self, _: str, payload: Mapping[str, Any]) -> None:
        if self._has_started:
            return
        self._has_started = True
        options = self._options
        if options.send_start:
            message_id = options.message_id or payload.get("messageId")
            start: UIChunk = without_none(type="start", messageId=message_id)
            self._out.append(self._with_metadata(start, options.metadata))

    def _with_metadata(self, chunk: UIChunk, known: Mapping[str, Any]) -> UIChunk:
        asked = self._options.message_metadata
        given = None if asked is None else asked(chunk)
        metadata = {**known, **(given or {})}
        return {**chunk, "messageMetadata": metadata} if metadata else chunk

    def _finish(self, reason: str, usage: Mapping[str, Any] | None) -> None:
        self.is_over = True
        if not self._options.send_finish:
            return
        shown = reason if reason in _REASONS else "other"
        if reason == "aborted" and self._options.version == "v7":
            shown = "interrupted"
        if usage and self._used != Usage():
            usage = (self._used + Usage.from_wire(usage)).to_wire()
        metadata = {"usage": without_none(**usage)} if usage else {}
        finish: UIChunk = {"type": "finish", "finishReason": shown}
        self._put(self._with_metadata(finish, metadata))

    def _finished(self, _: str, payload: Mapping[str, Any]) -> None:
        self._close()
        if self.goes_on:
            self._used += Usage.from_wire(payload["usage"] or {})
        else:
            self._finish(payload["reason"], payload["usage"])

    # -- steps ---------------------------------------------------------------------------------

    def _begin_step(self, _: str, payload: Mapping[str, Any]) -> None:
        if not self._has_started:
            self._start("", payload)
        self._close()
        self._pending.clear()
        self._started.clear()
        self._put({"type": "start-step"})
        self._in_step = True
        self._step = None if self._options.client_tools is None else []

    def _end_step(self, _: str = "", payload: Mapping[str, Any] | None = None) -> None:
        if payload is not None and payload["reason"] == "retry" and self._in_step:
            self._reset()
        self._close()

    def _close(self) -> None:
        """Close what is open, and the step that it is in."""
        for block_id, kind in self._open.items():
            self._put({"type": f"{kind}-end", "id": block_id})
        self._open.clear()
        self._heads.clear()
        if self._in_step:
            self._in_step = False
            self._put({"type": "finish-step"})

    def _reset(self) -> None:
        """Take back a step that a processor did not let stand; a page of v6 keeps it."""
        if self._options.version == "v7":
            self._open.clear()
            self._heads.clear()
            self._shown -= set(self._pending)
            self._put({"type": "reset-step"})

    def _take_back(self) -> None:
        """Show the step without the calls that nobody has come to."""
        client, step = self._options.client_tools, self._step
        if client is None or step is None or self._options.version == "v6":
            return
        early = {call_id for call_id, name in self._pending.items() if name not in client}
        if not early:
            return
        self._shown -= early
        self._out.append({"type": "reset-step"})
        self._out += [chunk for chunk in step if chunk.get("toolCallId") not in early]

    # -- text and thoughts ---------------------------------------------------------------------

    def _open_block(self, kind: str, block_id: str) -> None:
        self._open[block_id] = kind
        self._put({"type": f"{kind}-start", "id": block_id})
        # Where nothing has to be remembered, what is around a text is put together once.
        if kind == "text" and self._step is None:
            head: UIChunk = {"type": "text-delta", "id": block_id}
            self._heads[block_id] = b"data: " + dump_wire(head)[:-1] + b',"delta":'

    def _block(self, kind: str, part: str, _: str, payload: Mapping[str, Any]) -> None:
        block_id = str(payload["id"])
        if part == "start":
            self._open_block(kind, block_id)
            return
        if part == "delta":
            if block_id not in self._open:
                self._open_block(kind, block_id)
            self._put({"type": f"{kind}-delta", "id": block_id, "delta": payload["text"]})
        elif self._open.pop(block_id, None) is not None:
            self._heads.pop(block_id, None)
            own = _metadata(payload)
            self._put({"type": f"{kind}-end", "id": block_id, **own})

    # -- tools ---------------------------------------------------------------------------------

    def _holds(self, call_id: str) -> bool:
        """Return whether a call is shown once something has come of it: a page of v6 keeps all."""
        options = self._options
        is_other = any(other != call_id for other in self._pending)
        return options.version == "v6" and options.client_tools is not None and is_other

    def _start_call(self, _: str, payload: Mapping[str, Any]) -> None:
        call_id = payload["toolCallId"]
        if self._holds(call_id):
            return
        self._started.add(call_id)
        self._note(payload)
        self._put(
            without_none(
                type="tool-input-start",
                toolCallId=call_id,
                toolName=payload["toolName"],
                providerExecuted=payload.get("providerExecuted"),
            )
        )

    def _note(self, payload: Mapping[str, Any]) -> None:
        self._shown.add(payload["toolCallId"])
        if not payload.get("providerExecuted"):
            self._pending[payload["toolCallId"]] = payload["toolName"]

    def _more_input(self, _: str, payload: Mapping[str, Any]) -> None:
        call_id = payload["toolCallId"]
        if call_id in self._started:
            delta = payload["argsTextDelta"]
            self._put({"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": delta})

    def _call(self, _: str, payload: Mapping[str, Any]) -> None:
        call_id = payload["toolCallId"]
        client = self._options.client_tools or ()
        if self._holds(call_id) and payload["toolName"] not in client:
            return
        self._note(payload)
        self._show_call(payload)

    def _show_call(self, payload: Mapping[str, Any]) -> None:
        self._shown.add(payload["toolCallId"])
        self._put(
            {
                "type": "tool-input-available",
                "toolCallId": payload["toolCallId"],
                "toolName": payload["toolName"],
                "input": payload.get("args"),
                **without_none(providerExecuted=payload.get("providerExecuted")),
                **_metadata(payload),
            }
        )

    def _introduce(self, payload: Mapping[str, Any]) -> None:
        """Show a call of which the page was not told, or which was taken back."""
        options = self._options
        if payload["toolCallId"] in self._shown or not payload["toolName"]:
            return
        if options.known_calls is not None or options.client_tools is not None:
            self._show_call(payload)

    def _settle(self, call_id: str, name: str, args: Json, chunk: UIChunk) -> None:
        """Show what came of a call, and the call itself where the page does not know it."""
        self._pending.pop(call_id, None)
        self._introduce({"toolCallId": call_id, "toolName": name, "args": args})
        self._put({"type": chunk.pop("type"), "toolCallId": call_id, **chunk})

    def _outcome(self, payload: Mapping[str, Any], chunk: UIChunk) -> None:
        self._settle(payload["toolCallId"], payload["toolName"], payload.get("args"), chunk)

    def _result(self, _: str, payload: Mapping[str, Any]) -> None:
        result: Any = payload.get("result")
        more = {**without_none(providerExecuted=payload.get("providerExecuted"))}
        more |= _metadata(payload)
        if payload.get("isError"):
            known = cast("Mapping[str, Any]", result if isinstance(result, Mapping) else {})
            text = known.get("message", result)
            shown = text if isinstance(text, str) else dump_wire(cast("Json", result)).decode()
            self._outcome(payload, {"type": "tool-output-error", "errorText": shown, **more})
        else:
            self._outcome(payload, {"type": "tool-output-available", "output": result, **more})

    def _raised(self, _: str, payload: Mapping[str, Any]) -> None:
        text = text_of_error(self._options, payload["error"])
        self._outcome(payload, {"type": "tool-output-error", "errorText": text})

    def _denied(self, _: str, payload: Mapping[str, Any]) -> None:
        self._outcome(payload, {"type": "tool-output-denied"})

    def _approval(self, run_id: str, payload: Mapping[str, Any]) -> None:
        asked = approval_id(run_id, payload["toolCallId"])
        self._outcome(payload, {"type": "tool-approval-request", "approvalId": asked})
        self._waits("data-tool-call-approval", run_id, payload, "args")

    def _suspended(self, run_id: str, payload: Mapping[str, Any]) -> None:
        call_id = payload["toolCallId"]
        self._pending.pop(call_id, None)
        self._introduce(payload)
        if asks_approval(payload.get("suspendPayload")):
            asked = approval_id(run_id, call_id)
            self._put({"type": "tool-approval-request", "toolCallId": call_id, "approvalId": asked})
        self._waits("data-tool-call-suspended", run_id, payload, "suspendPayload")

    def _waits(self, kind: str, run_id: str, payload: Mapping[str, Any], told: str) -> None:
        data = without_none(
            state=kind,
            runId=run_id,
            toolCallId=payload["toolCallId"],
            toolName=payload["toolName"],
            resumeSchema=payload.get("resumeSchema"),
        )
        data[told] = payload.get(told)
        self._put({"type": kind, "id": payload["toolCallId"], "data": data})

    def _written(self, _: str, payload: Mapping[str, Any]) -> None:
        """Show what a tool wrote while it ran: its own data, a sub-agent, a workflow."""
        output: Any = payload["output"]
        ancestry = [_place(payload)]
        kind, run_id, inner = facts_of(output)
        while kind == "tool-output":
            ancestry.append(_place(inner))
            output = inner["output"]
            kind, run_id, inner = facts_of(output)
        if kind.startswith("data-"):
            self._put(custom_chunk(kind, inner))
        elif kind.startswith("workflow-"):
            for made in self._workflows.translate(kind, run_id, inner):
                self._put(made)
        elif kind and isinstance(inner, Mapping):
            carried = cast("Mapping[str, Any]", inner)
            for made in self._sub_agents.translate(kind, run_id, carried, ancestry):
                self._put(made)
        else:
            data = {**ancestry[-1], "output": output if inner is None else inner}
            self._put({"type": "data-tool-output", "data": data})

    # -- the rest ------------------------------------------------------------------------------

    def _source(self, _: str, payload: Mapping[str, Any]) -> None:
        title, own = payload.get("title"), _metadata(payload)
        if payload.get("sourceType") == "url" or payload.get("url"):
            url = payload.get("url") or ""
            found = without_none(
                type="source-url", sourceId=payload["id"], url=url, title=title, **own
            )
        else:
            found = without_none(
                type="source-document",
                sourceId=payload["id"],
                mediaType=payload.get("mediaType") or "application/octet-stream",
                title=title or payload.get("filename") or payload["id"],
                filename=payload.get("filename"),
                **own,
            )
        self._put(found)

    def _file(self, _: str, payload: Mapping[str, Any]) -> None:
        kind = payload["mimeType"]
        url = f"data:{kind};base64,{payload['data']}"
        self._put({"type": "file", "url": url, "mediaType": kind, **_metadata(payload)})

    def _object(self, _: str, payload: Json) -> None:
        self._put({"type": "data-structured-output", "data": {"object": payload}})

    def _tripped(self, _: str, payload: Mapping[str, Any]) -> None:
        self._put({"type": "data-tripwire", "data": dict(payload)})
        self._close()
        self._finish("tripwire", None)

    def _error(self, _: str, payload: Mapping[str, Any]) -> None:
        self._close()
        text = text_of_error(self._options, payload["error"])
        self._put({"type": "error", "errorText": text})
        self._finish("error", None)

    def _abort(self, _run: str, _payload: Any) -> None:
        self._close()
        self._put({"type": "abort"})
        self._finish("aborted", None)


def _place(payload: Mapping[str, Any]) -> dict[str, Json]:
    name = payload["toolName"]
    place: dict[str, Json] = {"toolCallId": payload["toolCallId"], "toolName": name}
    if name.startswith("agent-"):
        place["agentId"] = name.removeprefix("agent-")
    return place


def _metadata(payload: Mapping[str, Any]) -> UIChunk:
    """Return what a provider says of a part; the page takes an object of objects alone."""
    found = payload.get("providerMetadata")
    if not isinstance(found, Mapping):
        return {}
    known = cast("Mapping[str, Any]", found)
    own: UIChunk = {key: item for key, item in known.items() if isinstance(item, Mapping)}
    return {"providerMetadata": own} if own else {}
