"""How many tokens a request takes: texts by a counter that can be chosen, the rest by what is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, assert_never

from mastra.jsonable import dump_json
from mastra.models.base import ModelRequest
from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["RequestSize", "TokenCounter", "estimate_tokens", "result_text", "shortened"]

TokenCounter: TypeAlias = Callable[[str], int]
"""Counts the tokens of a text."""

_PIECES: Final = re.compile(
    r"[A-Z]?[a-z]+|[A-Z]+|\d{1,3}|[ \t]*[\r\n]+|[ \t]{2,}|[^\W\d_a-zA-Z]|[\x21-\x7e]|[^\s\x00-\x7f]"
)
_WORD: Final = 6
_MESSAGE: Final = 4
_CALL: Final = 28
_RESULT: Final = 20
_TOOL: Final = 24
_REQUEST: Final = 32
_MEDIA: Final = 1_500
_CUT: Final = " […] "


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text takes, without a tokenizer.

    Words of up to six letters, three digits, signs and letters of other alphabets count one each,
    so that prose is estimated some tenths too high and JSON hardly too low. About ten million
    characters a second.
    """
    total = 0
    for piece in _PIECES.findall(text):
        total += 1 if len(piece) <= _WORD else (len(piece) + _WORD - 1) // _WORD
    return total


def result_text(part: ToolResultPart) -> str:
    """Return what a tool gave as the text that a model is sent."""
    return part.result if isinstance(part.result, str) else dump_json(part.result).decode()


class RequestSize:
    """Counts what of a request goes to the model.

    Arguments and results count as the JSON text that they are sent as; a picture or a file counts
    1,500; a message, a call and a tool have some tokens for what holds them together.
    """

    def __init__(self, count: TokenCounter | None) -> None:
        self.count: TokenCounter = count or estimate_tokens

    def messages(self, messages: Iterable[Message]) -> int:
        """Return the tokens of messages."""
        return sum(_MESSAGE + sum(map(self._part, message.parts)) for message in messages)

    def around(self, request: ModelRequest | None) -> int:
        """Return the tokens of what goes with the messages: the tools, and the answer's form."""
        if request is None:
            return 0
        size = _REQUEST if request.tools or request.provider_tools else 0
        for tool in request.tools:
            described = f"{tool.name} {tool.description} {dump_json(tool.parameters).decode()}"
            size += _TOOL + self.count(described)
        for tool in request.provider_tools:
            size += _TOOL + self.count(f"{tool.name} {dump_json(dict(tool.args)).decode()}")
        if request.response_format is not None:
            size += _TOOL + self.count(dump_json(request.response_format.schema).decode())
        return size

    def _part(self, part: MessagePart) -> int:
        match part:
            case TextPart():
                return self.count(part.text)
            case ReasoningPart():
                return self.count(part.text) + len(part.signature or "") // 4
            case ToolCallPart():
                args = part.args if isinstance(part.args, str) else dump_json(part.args).decode()
                return (
                    _CALL + self.count(f"{part.tool_call_id} {part.tool_name}") + self._sent(args)
                )
            case ToolResultPart():
                held = _RESULT + self.count(part.tool_call_id)
                if part.content is not None:
                    return held + sum(map(self._part, part.content))
                return held + self._sent(result_text(part))
            case ImagePart() | FilePart():
                return _MEDIA
            case ProviderPart():
                return self.count(dump_json(part.data).decode())
            case SourcePart() | DataPart():
                return 0
            case _:
                assert_never(part)

    def _sent(self, text: str) -> int:
        # A text within JSON: its quotes are escaped.
        return self.count(dump_json(text).decode())


def shortened(text: str, limit: int, count: TokenCounter) -> str:
    """Return a text of at most so many tokens: its beginning and its end, where it is longer."""
    size = count(text)
    if size <= limit:
        return text
    keep = len(text) * max(limit, 0) // size
    while keep > 0:
        tail = keep // 3
        cut = text[: keep - tail] + _CUT + text[len(text) - tail :]
        if count(cut) <= limit:
            return cut
        keep = keep * 9 // 10
    return ""
