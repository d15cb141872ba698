"""Answers of Anthropic's messages API for the server of `openai_server`: recorded ones, and others in their form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.openai_server import Reply

_DATA = Path(__file__).parents[1] / "models" / "data" / "anthropic_answers.json"

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 4,
    "output_tokens": 1,
}


@cache
def _answers() -> dict[str, list[dict[str, Any]]]:
    return json.loads(_DATA.read_text())["answers"]


def recorded_events(name: str) -> list[dict[str, Any]]:
    """The events of a recorded answer."""
    return _answers()[name]


def recorded(name: str, **options: Any) -> Reply:
    """A recorded answer."""
    return Reply(recorded_events(name), named=True, done=False, **options)


def recorded_names() -> list[str]:
    """What was recorded."""
    return list(_answers())


def blocks_of(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a message, whole, as its provider means them."""
    blocks: dict[int, dict[str, Any]] = {}
    args: dict[int, str] = {}
    for event in events:
        index = event.get("index", -1)
        if event["type"] == "content_block_start":
            blocks[index] = json.loads(json.dumps(event["content_block"]))
        elif event["type"] == "content_block_delta":
            block, delta = blocks[index], event["delta"]
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "signature_delta":
                    block["signature"] = delta["signature"]
                case "citations_delta":
                    block["citations"] = [*(block.get("citations") or []), delta["citation"]]
                case "input_json_delta":
                    args[index] = args.get(index, "") + delta["partial_json"]
    for index, text in args.items():
        blocks[index]["input"] = json.loads(text or "{}")
    return [blocks[index] for index in sorted(blocks)]


def message(
    *blocks: dict[str, Any],
    stop: str = "end_turn",
    usage: dict[str, Any] | None = None,
    **delta: Any,
) -> list[dict[str, Any]]:
    """The events of a message of these blocks."""
    head = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "usage": usage or USAGE,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}, {"type": "ping"}]
    for index, block in enumerate(blocks):
        events += _block(index, block)
    end = {"stop_reason": stop, "stop_sequence": None, **delta}
    return [
        *events,
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def _block(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    pieces: list[dict[str, Any]] = []
    start = block
    match block["type"]:
        case "text":
            start = {"type": "text", "text": ""}
            pieces = [{"type": "text_delta", "text": char} for char in block["text"]]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            pieces = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            start = {**block, "input": {}}
            text = json.dumps(block["input"]) if block["input"] else ""
            parts = ("", text[: len(text) // 2], text[len(text) // 2 :])
            pieces = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces),
        {"type": "content_block_stop", "index": index},
    ]


def text(said: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": said}


def call(call_id: str, name: str, **args: Any) -> dict[str, Any]:
    """A call of a tool."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}


def reply(*blocks: dict[str, Any], **options: Any) -> Reply:
    """An answer of these blocks."""
    return Reply(message(*blocks, **options), named=True, done=False)
