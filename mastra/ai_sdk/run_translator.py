"""From the events of a run of a workflow to one message for a page of the AI SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from mastra.agents.chunks import error_to_wire
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chunks import StreamOptions, UIChunk, custom_chunk, text_of_error
from mastra.pages.facts import without_none
from mastra.pages.workflow_parts import WorkflowParts
from mastra.workflows.events import Event

__all__ = ["RunTranslator"]

_ENDS: Final = frozenset(("finish", "error", "abort"))
"""What ends an agent's own message: as a step it has none."""
_OF_AGENTS: Final = frozenset(("start-step", "finish-step"))
"""What bounds an agent's steps, which are not the message's."""
_REASONS: Final = {"success": "stop", "failed": "error"}


class RunTranslator:
    """Shows one run, or a leg of it, as a message.

    What an agent as a step streams is the message's own text, thoughts and calls.
    """

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self.parts = WorkflowParts()
        self._agents: dict[str, AgentTranslator] = {}
        self._ended: Mapping[str, Any] | None = None
        self._is_canceled = False

    def begin(self, message_id: str) -> list[UIChunk]:
        """Return what opens the message.

        Args:
            message_id: Its id, where the page has none for it.
        """
        options = self._options
        if not options.send_start:
            return []
        start: UIChunk = {"type": "start", "messageId": options.message_id or message_id}
        return [self._with_metadata(start, options.metadata)]

    def translate(self, event: Event) -> list[UIChunk]:
        """Return what an event becomes."""
        kind = event.type
        if event.payload is None:
            return [custom_chunk(kind, cast("Mapping[str, Any]", event.data))]
        payload = event.payload.to_wire()
        if kind == "workflow-step-output":
            return self._output(str(payload.get("stepName")), payload.get("output"))
        if kind == "workflow-finish":
            self._ended = payload
        self._is_canceled = self._is_canceled or kind == "workflow-canceled"
        left = self._close_agents() if kind in {"workflow-finish", "workflow-canceled"} else []
        return [*left, *self.parts.translate(kind, event.run_id, payload)]

    def end(self) -> list[UIChunk]:
        """Return what ends the message."""
        out = self._close_agents()
        ended = self._ended or {}
        status = str(ended.get("workflowStatus") or "canceled")
        if status == "failed":
            error: Any = ended["metadata"].get("error")
            out.append({"type": "error", "errorText": text_of_error(self._options, error)})
        is_stopped = self._is_canceled or status == "canceled"
        if is_stopped:
            out.append({"type": "abort"})
        if self._options.send_finish:
            reason = _REASONS.get(status, "other")
            if is_stopped and self._options.version == "v7":
                reason = "interrupted"
            output: Any = ended.get("output") or {}
            usage: Any = output.get("usage")
            finish: UIChunk = {"type": "finish", "finishReason": reason}
            known = {"usage": without_none(**usage)} if isinstance(usage, Mapping) else {}
            out.append(self._with_metadata(finish, known))
        return out

    def fail(self, error: BaseException) -> list[UIChunk]:
        """Return what ends the message with an error: its reader was cut off."""
        out = self._close_agents()
        text = text_of_error(self._options, error_to_wire(error))
        return [*out, {"type": "error", "errorText": text}]

    def _with_metadata(self, chunk: UIChunk, known: Mapping[str, Any]) -> UIChunk:
        asked = self._options.message_metadata
        metadata = {**known, **((None if asked is None else asked(chunk)) or {})}
        return {**chunk, "messageMetadata": metadata} if metadata else chunk

    def _output(self, step_id: str, output: Any) -> list[UIChunk]:
        """Show what a step wrote: its own data, or the stream of an agent."""
        known = cast("Mapping[str, Any]", output if isinstance(output, Mapping) else {})
        kind, is_agents = str(known.get("type") or ""), known.get("from") in ("AGENT", "USER")
        if kind.startswith("data-") and "data" in known:
            return [custom_chunk(kind, known)]
        if not kind or not is_agents or "runId" not in known:
            return [{"type": "data-step-output", "data": {"stepId": step_id, "output": output}}]
        run_id = str(known["runId"])
        agent = self._agents.get(run_id)
        if agent is None:
            options = replace(self._options, send_start=False, send_finish=False, metadata={})
            agent = self._agents[run_id] = AgentTranslator(options)
        if kind == "start":
            return []
        made = agent.end("success") if kind in _ENDS else agent.translate(known)
        return _without_steps(made)

    def _close_agents(self) -> list[UIChunk]:
        """Close what agents have left open, as where their step failed."""
        out = [chunk for agent in self._agents.values() for chunk in agent.end("success")]
        self._agents.clear()
        return _without_steps(out)


def _without_steps(chunks: list[UIChunk]) -> list[UIChunk]:
    return [chunk for chunk in chunks if chunk["type"] not in _OF_AGENTS]
