"""What went wrong at OpenAI, from the SDK's errors to ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai

from mastra.errors import ModelError
from mastra.models.foreign_json import words_of
from mastra.models.http_errors import explain_status, may_pass, retry_after_of

if TYPE_CHECKING:
    from mastra.models.openai import OpenAIModel

__all__ = ["model_error"]


def model_error(error: openai.OpenAIError, model: OpenAIModel) -> ModelError:
    """Return our error for the SDK's."""
    if isinstance(error, openai.APIStatusError):
        return _status_error(error, model)
    if isinstance(error, openai.APITimeoutError):
        return model.silent()
    if isinstance(error, openai.APIConnectionError):
        return model.unreachable(error.__cause__ or error)
    return ModelError(f"{model.model_id} failed: {error}", model_id=model.model_id)


def _status_error(error: openai.APIStatusError, model: OpenAIModel) -> ModelError:
    status = error.status_code
    said = words_of(error.body) or error.response.reason_phrase
    return ModelError(
        explain_status(status, model.model_id, said, key=model.key_source, url=model.url),
        status_code=status,
        model_id=model.model_id,
        is_retryable=may_pass(status),
        details={
            "url": model.url,
            "retry_after_s": retry_after_of(error.response.headers),
            "request_id": error.request_id,
        },
    )
