"""What went wrong at a provider that is reached over HTTP, in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from mastra.errors import ModelError
from mastra.models.foreign_json import object_of, objects_in, words_of

if TYPE_CHECKING:
    from mastra.models.http import HttpModel

__all__ = [
    "RETRYABLE_STATUS",
    "explain_status",
    "may_pass",
    "refusal",
    "retry_after_of",
]

RETRYABLE_STATUS = frozenset((408, 409, 429))
"""Beside every status from 500 on."""


def may_pass(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in RETRYABLE_STATUS or status >= 500


def explain_status(status: int, model_id: str, said: str, *, key: str, url: str | None) -> str:
    """Return a message for an HTTP status that a user understands."""
    where = f" at {url}" if url else ""
    if status in {401, 403}:
        return f"{model_id} refused the API key{where} ({status}): check {key}. It said: {said}"
    if status == 404:
        return f"{model_id} was not found{where} (404): check the model's name. It said: {said}"
    if status == 429:
        return f"{model_id} takes no more requests for the moment (429). It said: {said}"
    if status >= 500:
        return f"{model_id} failed{where} ({status}). It said: {said}"
    return f"{model_id} refused the request ({status}). It said: {said}"


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a provider asks to wait, if it does."""
    exact = _seconds(headers.get("retry-after-ms", ""), 1000)
    if exact is not None:
        return exact
    wanted = headers.get("retry-after", "")
    seconds = _seconds(wanted, 1)
    return seconds if seconds is not None or not wanted else _until(wanted)


def _seconds(text: str, divisor: float) -> float | None:
    try:
        seconds = float(text) / divisor
    except ValueError:
        return None
    return seconds if seconds >= 0 else None  # neither is a number that is none


def _asked_in(body: object) -> float | None:
    """Return the seconds to wait that an error of Google's asks for, which has no header."""
    for said in objects_in(body):
        for detail in objects_in(object_of(said.get("error")).get("details")):
            delay = detail.get("retryDelay")
            if isinstance(delay, str):
                return _seconds(delay.removesuffix("s"), 1)
    return None


def _until(date: str) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    from mastra.clock import now_ms  # noqa: PLC0415 - one header form of one failure

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now_ms() / 1000)
    except (ValueError, OverflowError):
        return None


def refusal(
    model: HttpModel, status: int, headers: Mapping[str, str], body: bytes, reason: str | None
) -> ModelError:
    """Return the error for an answer that is none.

    Args:
        model: Who was asked.
        status: The HTTP status.
        headers: The answer's, by lower-case name.
        body: The answer.
        reason: The words beside the status.
    """
    parsed = _read(body)
    said = words_of(parsed) or reason or "nothing"
    wait = retry_after_of(headers)
    asked = headers.get("x-should-retry")
    return ModelError(
        explain_status(status, model.model_id, said, key=model.key_source, url=model.url),
        status_code=status,
        model_id=model.model_id,
        is_retryable=may_pass(status) if asked not in ("true", "false") else asked == "true",
        details={
            "url": model.url,
            "retry_after_s": _asked_in(parsed) if wait is None else wait,
            "request_id": headers.get("request-id") or headers.get("x-request-id"),
        },
    )


def _read(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # What an error says is short, and looking for tags takes longer than their number.
        text = body[:16_384].decode("utf-8", "replace")
        if "<" in text[:200] and ">" in text:
            # The page of a gateway: what it says stands between its tags.
            text = re.sub(r"(?is)<(script|style|head)\b.*?</\1\s*>|<[^>]*>", " ", text)
        text = " ".join(text.split())
        return text if len(text) <= 400 else text[:400] + "…"
