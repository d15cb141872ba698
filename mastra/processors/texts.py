"""Processors that look at text alone: normalise it, filter it, hide what is private."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from mastra.errors import ConfigError
from mastra.given import check_given, one_of
from mastra.models.messages import Message, MessagePart, TextPart
from mastra.processors.base import (
    InputContext,
    OutputResultContext,
    OutputStreamContext,
    Processor,
    ProcessorContext,
    refuse,
    tell_violation,
)

__all__ = ["PIIDetector", "RegexFilter", "Strategy", "UnicodeNormalizer"]

Strategy: TypeAlias = Literal["block", "redact", "warn"]
"""Refuse, replace, or only report."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\ufeff]")
_SPACES: Final = re.compile(r"[ \t]+")
_MOST_MARKS: Final = 30
_LONG: Final = re.compile(rf"[^\x00-\x7f]{{{_MOST_MARKS + 1},}}")


def _stream_safe(found: re.Match[str]) -> str:
    """Return a text with no more marks on a character than Unicode's Stream-Safe Text Format has.

    Normalising sorts the marks of each character, in quadratic time; more than thirty have no
    meaning in any language.
    """
    parts: list[str] = []
    marks = 0
    for character in found[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > _MOST_MARKS:
            parts.append("\u034f")
            marks = 1
        parts.append(character)
    return "".join(parts)


def map_text(message: Message, change: Callable[[str], str]) -> Message:
    """Return a message with its text changed, and its other parts as they are."""
    if isinstance(message.content, str):
        return replace(message, content=change(message.content))
    parts: list[MessagePart] = [
        _with_text(part, change(part.text)) if isinstance(part, TextPart) else part
        for part in message.content
    ]
    return replace(message, content=tuple(parts))


def _with_text(part: TextPart, text: str) -> TextPart:
    # What the provider said of a text (its signature, what it cites) is not true of another.
    return part if text == part.text else TextPart(text, cache=part.cache)


class UnicodeNormalizer(Processor):
    """Gives text one form: composed characters, no control or invisible ones.

    Args:
        strip_control: Whether to remove control and invisible characters.
        collapse_spaces: Whether to make one space of several.
        form: Unicode's name of the form.
    """

    id = "unicode-normalizer"

    def __init__(
        self,
        *,
        strip_control: bool = True,
        collapse_spaces: bool = True,
        form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFKC",
    ) -> None:
        self._strip = strip_control
        self._collapse = collapse_spaces
        self._form: Literal["NFC", "NFD", "NFKC", "NFKD"] = form

    def normalize(self, text: str) -> str:
        """Return a text in its one form."""
        text = unicodedata.normalize(self._form, _LONG.sub(_stream_safe, text))
        if self._strip:
            text = _CONTROL.sub("", text)
        return _SPACES.sub(" ", text).strip() if self._collapse else text

    def process_input(self, ctx: InputContext) -> list[Message]:
        """Normalise what the user says."""
        return [
            map_text(message, self.normalize) if message.role == "user" else message
            for message in ctx.messages
        ]


class _Filter(Processor):
    """What `RegexFilter` and `PIIDetector` have in common: patterns, and what to do about them."""

    def __init__(
        self,
        patterns: Mapping[str, re.Pattern[str]],
        strategy: Strategy,
        mask: Callable[[str, str], str],
    ) -> None:
        given = {"strategy": strategy}
        check_given(type(self).__name__, given, {"strategy": one_of("block", "redact", "warn")})
        self._patterns = dict(patterns)
        self._strategy = strategy
        self._mask = mask

    def find(self, text: str) -> list[str]:
        """Return the names of the patterns that are in a text."""
        return [name for name, pattern in self._patterns.items() if pattern.search(text)]

    def redact(self, text: str) -> str:
        """Return a text with what was found replaced."""
        for name, pattern in self._patterns.items():
            text = pattern.sub(lambda match, name=name: self._mask(name, match[0]), text)
        return text

    async def _judge(self, ctx: ProcessorContext, text: str) -> bool:
        """Refuse, or return whether a text is to be redacted."""
        found = self.find(text)
        if not found:
            return False
        await tell_violation(self, f"found {found}", found)
        if self._strategy == "block":
            refuse(ctx, f"Refused: the text holds {', '.join(found)}.", {"found": found})
        return self._strategy == "redact"

    async def process_input(self, ctx: InputContext) -> list[Message]:
        """Look at what the user says."""
        return [
            map_text(message, self.redact)
            if message.role == "user" and await self._judge(ctx, message.text)
            else message
            for message in ctx.messages
        ]

    async def process_output_stream(self, ctx: OutputStreamContext) -> Any:
        """Look at the answer. What may be the beginning of a match is held back until it is clear."""
        part = ctx.part
        if part.type == "text-delta":
            return await self._delta(ctx, part)
        if part.type == "text-end":
            # A durable run stores the state between two steps, so no chunk stays in it.
            held, last = ctx.state.pop("held", ""), ctx.state.pop("last", None)
            if held and last is not None:
                last.payload.text = await self._checked(ctx, held)
                ctx.extra.append(last)
        return part

    async def _delta(self, ctx: OutputStreamContext, part: Any) -> Any:
        held: str = ctx.state.get("held", "") + part.payload.text
        # A match never spans a blank line, so all before the last word can be judged.
        cut = max(held.rfind(" "), held.rfind("\n")) + 1 if len(held) < 512 else len(held)
        ready, ctx.state["held"] = held[:cut], held[cut:]
        shown = copy.copy(part)
        shown.payload = copy.copy(part.payload)
        ctx.state["last"] = shown
        if not ready:
            return None
        shown.payload.text = await self._checked(ctx, ready)
        return shown

    async def _checked(self, ctx: ProcessorContext, text: str) -> str:
        return self.redact(text) if await self._judge(ctx, text) else text

    def process_output_result(self, ctx: OutputResultContext) -> list[Message] | None:
        """Redact what is kept of the answer."""
        if self._strategy != "redact":
            return None
        return [
            map_text(message, self.redact) if message.role == "assistant" else message
            for message in ctx.messages
        ]


class RegexFilter(_Filter):
    """Refuses or replaces what patterns match, in the input and the answer.

    Args:
        patterns: By name, or a list of them.
        strategy: `block`, `redact` or `warn`.
        replacement: What `redact` puts in place.
    """

    id = "regex-filter"

    def __init__(
        self,
        patterns: Mapping[str, str] | Sequence[str],
        *,
        strategy: Strategy = "block",
        replacement: str = "[REDACTED]",
    ) -> None:
        named = patterns if isinstance(patterns, Mapping) else {item: item for item in patterns}
        if not named:
            raise ConfigError("RegexFilter needs at least one pattern.")
        super().__init__(
            {name: re.compile(text) for name, text in named.items()},
            strategy,
            lambda _name, _text: replacement,
        )


_PII: Final[Mapping[str, str]] = {
    # It begins where the characters of a name begin, and is tried there once, not at each of them.
    "email": r"(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)*\.[A-Za-z]{2,}\b",
    "phone": r"(?<![\w.-])\+?\d{1,3}?[ .-]?\(?\d{2,4}\)?[ .-]?\d{3,4}[ .-]?\d{3,4}(?![\w-])",
    "credit-card": r"\b(?:\d[ -]?){13,19}\b",
    "ssn": r"\b\d{3}-\d{2}-\d{4}\b",
    "ip-address": r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
    "api-key": r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}\b",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?\b",
}


class PIIDetector(_Filter):
    """Finds personal data by its form: addresses, numbers of phones, cards and accounts, keys.

    Args:
        types: Which kinds to look for; all where it is left out.
        strategy: `block`, `redact` or `warn`.
    """

    id = "pii-detector"

    def __init__(
        self, types: Sequence[str] | None = None, *, strategy: Strategy = "redact"
    ) -> None:
        wanted = _PII if types is None else types
        if not wanted:
            raise ConfigError(
                "PIIDetector got no types, and so nothing to look for. Leave them out for all, or give "
                f"some of: {', '.join(_PII)}."
            )
        unknown = [name for name in wanted if name not in _PII]
        if unknown:
            raise ConfigError(
                f"PIIDetector does not know {unknown[0]!r}. It knows: {', '.join(_PII)}."
            )
        # A card's number also looks like a phone's, so the longer forms are looked for first.
        order = ("email", "api-key", "iban", "credit-card", "ssn", "ip-address", "phone")
        super().__init__(
            {name: re.compile(_PII[name]) for name in order if name in wanted},
            strategy,
            lambda name, _text: f"[{name.upper()}]",
        )
