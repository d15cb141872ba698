"""The server that the stream benchmarks read from: providers' formats, made beforehand.

A process of its own, so that serving costs the reader's process nothing. It prints its port.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n"


def _framed(event: dict[str, Any]) -> bytes:
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _framed(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "bench",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }
    )


@cache
def text(count: int) -> tuple[bytes, ...]:
    """Return an answer of so many pieces of text."""
    pieces = [_chunk({"role": "assistant", "content": ""})]
    pieces += [_chunk({"content": f"tok{number} "}) for number in range(count)]
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}
    end = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    return (*pieces, _chunk({}, "stop"), _framed({**end, "choices": [], "usage": usage}), DONE)


@cache
def tool_call() -> tuple[bytes, ...]:
    """Return an answer that calls a tool."""
    call = {"index": 0, "id": "call_1", "type": "function"}
    named = {**call, "function": {"name": "get_weather", "arguments": ""}}
    pieces = [
        {"index": 0, "function": {"arguments": args}} for args in ('{"city": ', '"Paris"', "}")
    ]
    return (
        _chunk({"role": "assistant", "content": None, "tool_calls": [named]}),
        *(_chunk({"tool_calls": [piece]}) for piece in pieces),
        _chunk({}, "tool_calls"),
        DONE,
    )


def _named(event: dict[str, Any]) -> bytes:
    data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def anthropic_text(count: int) -> tuple[bytes, ...]:
    """Return an answer of so many pieces of text, in the format of Anthropic's messages."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "bench"}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for number in range(count):
        delta = {"type": "text_delta", "text": f"tok{number} "}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": count}},
        {"type": "message_stop"},
    ]
    return tuple(_named(event) for event in events)


@cache
def gemini_text(count: int) -> tuple[bytes, ...]:
    """Return an answer of so many pieces of text, in the format of Gemini."""
    usage = {"promptTokenCount": 10, "candidatesTokenCount": count, "totalTokenCount": 10 + count}

    def event(piece: str, **more: Any) -> bytes:
        content = {"parts": [{"text": piece}], "role": "model"}
        whole = {
            "candidates": [{"content": content, "index": 0, **more}],
            "usageMetadata": usage,
            "modelVersion": "bench",
            "responseId": "r1",
        }
        data = f"data: {json.dumps(whole)}\r\n\r\n".encode()
        return b"%x\r\n%s\r\n" % (len(data), data)

    pieces = [event(f"tok{number} ") for number in range(count)]
    return (*pieces, event("", finishReason="STOP"))


def _answer(path: str, body: dict[str, Any]) -> tuple[bytes, ...]:
    if "/models/" in path:
        return gemini_text(int(path.partition("/models/")[2].partition(":")[0]))
    if path.endswith("/messages"):
        return anthropic_text(int(body["model"]))
    if body["model"] == "tool" and body["messages"][-1]["role"] != "tool":
        return tool_call()
    return text(20 if body["model"] == "tool" else int(body["model"]))


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            path = head.split(b" ", 2)[1].decode()
            answer = _answer(path, json.loads(await reader.readexactly(length)))
            writer.write(HEAD)
            for number, piece in enumerate(answer):
                # One write a piece, as a model's server does.
                writer.write(piece)
                if number % 64 == 63:
                    await writer.drain()
            writer.write(END)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
