"""What a model says aloud in a chat completion: put together from pieces, with what it says as text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from mastra.models.chunks import FileChunk, ModelChunk

__all__ = ["SpeechKeeper"]

_BEGINNINGS: Final = (
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
    *((bytes((0xFF, second)), "audio/mpeg") for second in (0xFB, 0xFA, 0xF3, 0xF2)),
    *((bytes((0xFF, second)), "audio/aac") for second in (0xF1, 0xF9)),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
"""How files of a kind begin: an answer does not say of which it is."""
_BARE: Final = "audio/pcm"
"""Samples alone, of 16 bits and 24 kHz: all that OpenAI streams."""


class SpeechKeeper:
    """The speech of one answer: its text is told as it comes, and its sound at the end."""

    __slots__ = ("_facts", "_pieces", "_provider")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._pieces: list[bytes] = []
        self._facts: dict[str, Any] = {}

    def absorb(self, piece: dict[str, Any], say: Callable[[str], None]) -> None:
        """Take a piece in; `say` is given what of it is text.

        Raises:
            ValueError: Its sound is no base64.
        """
        for name, key in (("id", "audioId"), ("expires_at", "expiresAt")):
            if piece.get(name):
                self._facts[key] = piece[name]
        if piece.get("transcript"):
            say(str(piece["transcript"]))
        if piece.get("data"):
            try:
                self._pieces.append(base64.b64decode(str(piece["data"]), validate=True))
            except binascii.Error as error:
                raise ValueError(f"its sound is no base64: {error}") from error

    def finish(self, out: list[ModelChunk]) -> None:
        """Tell the sound as a file, where there is any."""
        sound = b"".join(self._pieces)
        if sound:
            kind = next((kind for head, kind in _BEGINNINGS if sound.startswith(head)), _BARE)
            own = {self._provider: self._facts} if self._facts else None
            out.append(FileChunk(base64.b64encode(sound).decode(), kind, own))
