"""What a page sees of agents that an agent asks: one part each, which grows in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mastra.ai_sdk.chunks import UIChunk
from mastra.jsonable import Json

__all__ = ["SubAgents"]

_MORE: Final = 16
"""A part is sent whole each time, so text is sent again once it has grown by its sixteenth and a
few letters: what is sent in all stays in proportion to the text."""

_KEPT: Final = {
    "tool-call": "toolCalls",
    "tool-result": "toolResults",
    "source": "sources",
    "file": "files",
}


class SubAgents:
    """The agents that a run has asked, by their runs."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Any]] = {}
        self._places: dict[str, dict[str, Any]] = {}
        self._sent: dict[str, int] = {}

    def translate(
        self, kind: str, run_id: str, payload: Mapping[str, Any], ancestry: Sequence[Json]
    ) -> list[UIChunk]:
        """Return what a chunk of an agent becomes.

        Args:
            kind: Its type.
            run_id: The agent's run.
            payload: What it carries.
            ancestry: The calls that lead to the agent, the outermost first.
        """
        data = self._runs.get(run_id) or self._new(run_id, ancestry)
        if not self._take(data, kind, payload):
            return []
        length = len(data["text"]) + len(data["reasoning"])
        if kind in {"text-delta", "reasoning-delta"}:
            sent = self._sent.get(run_id, 0)
            if length < sent + sent // _MORE + _MORE:
                return []
        self._sent[run_id] = length
        shown = {key: [*item] if isinstance(item, list) else item for key, item in data.items()}  # pyright: ignore[reportUnknownVariableType]
        shown["reasoning"] = [data["reasoning"]] if data["reasoning"] else []
        return [{"type": "data-tool-agent", "id": run_id, "data": shown, **self._places[run_id]}]

    def _new(self, run_id: str, ancestry: Sequence[Json]) -> dict[str, Any]:
        parents = [place["agentId"] for place in ancestry if "agentId" in place]
        place = self._places[run_id] = {"ancestry": [*ancestry], "depth": len(ancestry)}
        if len(parents) > 1:
            place["parentAgentId"] = parents[-2]
        data = self._runs[run_id] = {
            "id": parents[-1] if parents else "",
            "text": "",
            "reasoning": "",
            "sources": [],
            "files": [],
            "toolCalls": [],
            "pendingToolCalls": [],
            "toolResults": [],
            "toolErrors": [],
            "usage": None,
            "finishReason": None,
            "status": "running",
        }
        return data

    def _take(self, data: dict[str, Any], kind: str, payload: Mapping[str, Any]) -> bool:
        """Take a chunk in; return whether there is something to show."""
        match kind:
            case "start":
                data["id"] = payload.get("id") or data["id"]
            case "text-delta":
                data["text"] += payload["text"]
            case "reasoning-delta":
                data["reasoning"] += payload["text"]
            case "tool-call-input-streaming-start" | "tool-call-delta":
                return _wrote(data["pendingToolCalls"], payload)
            case "tool-call" | "tool-result" | "source" | "file":
                if kind == "tool-call":
                    known, call_id = data["pendingToolCalls"], payload["toolCallId"]
                    known[:] = [call for call in known if call["toolCallId"] != call_id]
                data[_KEPT[kind]].append(dict(payload))
            case "tool-error":
                error: Any = payload["error"]
                data["toolErrors"].append({**payload, "errorText": error.get("message")})
            case "step-finish":
                pass  # what was held back of its text is shown
            case "finish" | "tripwire":
                data |= _ended(kind, payload)
            case _:
                return False
        return True


def _ended(kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an agent has ended; where a processor refused its answer, no `finish` comes."""
    if kind == "tripwire":
        return {"finishReason": "other", "status": "finished"}
    return {
        "finishReason": payload["reason"],
        "usage": payload["usage"],
        "status": "finished",
    }


def _wrote(pending: list[dict[str, Json]], payload: Mapping[str, Any]) -> bool:
    """Take in a call whose arguments are being written; only that it has begun is shown at once."""
    call_id, more = payload["toolCallId"], payload.get("argsTextDelta")
    if more is None:
        call: dict[str, Json] = {"toolCallId": call_id, "toolName": payload["toolName"]}
        pending.append({**call, "argsText": "", "state": "input-streaming"})
        return True
    for call in pending:
        if call["toolCallId"] == call_id:
            call["argsText"] += more
    return False
