"""What went wrong at a provider, in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import openai

from mastra.errors import ModelError

if TYPE_CHECKING:
    from mastra.models.openai import OpenAIModel

__all__ = ["explain_status", "model_error", "retry_after_of"]

RETRYABLE_STATUS = frozenset((408, 409, 429))
"""Beside every status from 500 on."""


def model_error(error: openai.OpenAIError, model: OpenAIModel) -> ModelError:
    """Return our error for the SDK's."""
    if isinstance(error, openai.APIStatusError):
        return _status_error(error, model)
    if isinstance(error, openai.APITimeoutError):
        return ModelError(
            f"{model.model_id} did not answer in time at {model.url}.",
            model_id=model.model_id,
            is_retryable=True,
            code="MODEL_TIMEOUT",
        )
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        return ModelError(
            f"Could not reach {model.model_id} at {model.url}: {cause or error}. "
            "Check that the address is right and that the server is running.",
            model_id=model.model_id,
            is_retryable=True,
            code="MODEL_UNREACHABLE",
            details={"url": model.url},
        )
    return ModelError(f"{model.model_id} failed: {error}", model_id=model.model_id)


def _status_error(error: openai.APIStatusError, model: OpenAIModel) -> ModelError:
    status = error.status_code
    said = said_by(error.body) or error.response.reason_phrase
    key = "the environment variable OPENAI_API_KEY"
    if model.api_key is not None or model.base_url is not None:
        key = "the api_key of its ModelConfig"
    return ModelError(
        explain_status(status, model.model_id, said, key=key, url=model.url),
        status_code=status,
        model_id=model.model_id,
        is_retryable=status in RETRYABLE_STATUS or status >= 500,
        details={
            "url": model.url,
            "retry_after_s": retry_after_of(error.response.headers),
            "request_id": error.request_id,
        },
    )


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


def said_by(body: object) -> str | None:
    """Return the message in an error's body."""
    if not isinstance(body, Mapping):
        return str(body) if body else None
    known = cast("Mapping[str, Any]", body)
    inner: Any = known.get("error", known)
    if not isinstance(inner, Mapping):
        return str(inner)
    found: Any = cast("Mapping[str, Any]", inner).get("message")
    return str(found) if found else None


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a provider asks to wait, if it does."""
    exact = headers.get("retry-after-ms")
    if exact is not None:
        return _number(exact, 1000)
    wanted = headers.get("retry-after")
    if wanted is None:
        return None
    seconds = _number(wanted, 1)
    return seconds if seconds is not None else _until(wanted)


def _number(text: str, divisor: float) -> float | None:
    try:
        return float(text) / divisor
    except ValueError:
        return None


def _until(date: str) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    from mastra.clock import now_ms  # noqa: PLC0415 - one header form of one failure

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now_ms() / 1000)
    except ValueError:
        return None
