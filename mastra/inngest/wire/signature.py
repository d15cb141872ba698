"""Whether an Inngest server signed a request, when, and whether it is the first time.

The SDK checks signatures too, but parses the body before it does, and takes an old request, or
the same one again, as a new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast
from urllib.parse import parse_qs

__all__ = ["MAX_AGE_S", "Signature", "Signatures", "read_signature"]

MAX_AGE_S: Final = 300
"""How old a signature may be, or how far ahead the server's clock."""

MAX_PARSED_BYTES: Final = 256 * 1024
"""Up to which size a body is parsed to see whether its canonical form is what was signed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request says of who sent it."""

    moment: str
    """When it was signed, in seconds since the epoch."""
    value: str


def read_signature(header: str | None) -> Signature | None:
    """Return a header's signature, or `None` where it is none, too old or too far ahead."""
    if not header:
        return None
    parts = parse_qs(header)
    moment, value = parts.get("t", [""])[0], parts.get("s", [""])[0]
    if not value.isascii() or not value or not _is_number(moment):
        return None
    if abs(time.time() - int(moment)) > MAX_AGE_S:
        return None
    return Signature(moment, value)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


class Signatures:
    """Checks signatures, and remembers those that were good.

    Args:
        keys: Signing keys: the one in use, and the one before it.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [re.sub(r"^signkey-\w+-", "", key).encode() for key in keys]
        self._used: dict[str, float] = {}
        """When each good signature of a call will be too old, in order of their coming."""
        self._parsing = asyncio.Lock()

    async def are_good(self, signature: Signature, body: bytes) -> bool:
        """Return whether one of the keys made a signature of a body."""
        if self._matches(signature, body):
            return True
        if not body or len(body) > MAX_PARSED_BYTES:
            return False
        # Signed is the canonical form, in which servers send it; what stands between may not.
        async with self._parsing:
            canonical = await asyncio.to_thread(_canonical, body)
        return canonical is not None and self._matches(signature, canonical)

    def _matches(self, signature: Signature, body: bytes) -> bool:
        for key in self._keys:
            made = hmac.new(key, body, hashlib.sha256)
            made.update(signature.moment.encode())
            if hmac.compare_digest(made.hexdigest(), signature.value):
                return True
        return False

    def use(self, signature: Signature) -> bool:
        """Take a good signature; return whether it is the first time.

        No two requests of a server are alike: each has an id in its body.
        """
        now = time.time()
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] > now:
                break
            del self._used[oldest]
        if signature.value in self._used:
            return False
        self._used[signature.value] = now + 2 * MAX_AGE_S
        return True


def _canonical(body: bytes) -> bytes | None:
    canonicalize = cast("Callable[[Any], bytes]", import_module("jcs").canonicalize)  # has no types
    try:
        return canonicalize(json.loads(body))
    except (ValueError, TypeError, RecursionError):
        return None
