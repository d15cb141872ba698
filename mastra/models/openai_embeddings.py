"""What texts mean, by OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import openai

from mastra.errors import ModelError
from mastra.models.openai_errors import model_error

if TYPE_CHECKING:
    from mastra.models.openai import OpenAIModel

__all__ = ["embeddings"]


async def embeddings(
    model: OpenAIModel,
    client: openai.AsyncOpenAI,
    texts: Sequence[str],
    options: Mapping[str, Any],
) -> Sequence[Sequence[float]]:
    """Ask for the vectors of some texts.

    Raises:
        ModelError: The provider refused, could not be reached, or sent something else.
    """
    try:
        answer = await client.embeddings.create(
            model=model.model_name,
            input=list(texts),
            extra_headers=model.extra_headers(),
            extra_body=dict(options),
        )
        found = sorted(answer.data, key=lambda item: item.index)
        return [list(item.embedding) for item in found]
    except openai.OpenAIError as error:
        raise model_error(error, model) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{model.model_id} sent no vectors from {model.url}: {error}. Is it an embedding model?",
            model_id=model.model_id,
        ) from error
