"""Embedders: what a text means, as a vector, for finding texts of like meaning.

An embedder is any object with `embed(texts)`. A string `provider/model` finds one as it finds a
model: `openai/…` through the `openai` SDK, everything else through `litellm`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from mastra.errors import ConfigError, MastraError, ModelError
from mastra.models.calling import DEFAULT_RETRIES, with_retries
from mastra.models.resolve import ModelConfig, resolve_model

__all__ = ["Embedder", "EmbedderInput", "FunctionEmbedder", "resolve_embedder"]

_BATCH = 96
"""Texts of one request: the least that a provider litellm reaches allows."""

_LONGEST_TEXT = 16_000
"""Characters of a text that are looked at: the usual limit is 8,192 tokens, and more is refused."""

Vector: TypeAlias = "Sequence[float]"


@runtime_checkable
class Embedder(Protocol):
    """Tells what texts mean.

    It may have a `model_id`. Vectors are stored under it, and those of two ids are never
    compared; without one, it is the name of its class.
    """

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one vector a text, in order, all of one length.

        Raises:
            ModelError: The model failed.
        """
        ...


EmbedderInput: TypeAlias = "str | ModelConfig | Embedder | Callable[[Sequence[str]], Any]"
"""`provider/model`, a config, an embedder, or a function of a list of texts, sync or async."""


class FunctionEmbedder:
    """An embedder that is a function.

    Args:
        function: Takes a list of texts and gives a vector for each, sync or async.
    """

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self._function = function
        name = getattr(function, "__qualname__", type(function).__name__)
        self.model_id = f"function/{name}"

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return what the function gives."""
        made = self._function(texts)
        return cast("Sequence[Vector]", await made if inspect.isawaitable(made) else made)


class ModelEmbedder:
    """An embedder behind a model's API.

    Args:
        model: A model of this package, which has `embeddings(texts, options)`.
        options: Further fields of the request, such as `dimensions`.
    """

    def __init__(self, model: Any, options: Mapping[str, Any] | None = None) -> None:
        self._model = model
        self._options = dict(options or {})
        size = self._options.get("dimensions")
        self.model_id: str = model.model_id if size is None else f"{model.model_id}#{size}"

    def __repr__(self) -> str:
        return f"ModelEmbedder({self.model_id!r})"

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one vector a text; asks again where the provider is overloaded.

        Raises:
            ModelError: The provider refused, or could not be reached.
            ConfigError: There is no key.
        """
        found: list[Vector] = []
        cut = [text[:_LONGEST_TEXT] for text in texts]
        for start in range(0, len(cut), _BATCH):
            batch = cut[start : start + _BATCH]
            found += await with_retries(
                lambda batch=batch: self._model.embeddings(batch, self._options), DEFAULT_RETRIES
            )
        return found


def resolve_embedder(value: EmbedderInput, options: Mapping[str, Any] | None = None) -> Embedder:
    """Return the embedder that a string, a config or a function stands for.

    Raises:
        ConfigError: It is none of these, or its provider makes no vectors.
    """
    if isinstance(value, (str, ModelConfig)):
        model = resolve_model(value, check=False)
        if not callable(getattr(model, "embeddings", None)):
            raise ConfigError(
                f"{model_id_of(model)} makes no vectors: use an embedding model such as "
                "'openai/text-embedding-3-small', or a function of a list of texts."
            )
        return ModelEmbedder(model, options)
    if options:
        raise ConfigError("embedder_options are for an embedder that is named by a string.")
    if isinstance(value, Embedder):
        return value
    if callable(value):
        return FunctionEmbedder(value)
    raise ConfigError(
        f"{value!r} is not an embedder. Give 'provider/model', a ModelConfig, an object with "
        "embed(texts), or a function of a list of texts."
    )


def model_id_of(embedder: Any) -> str:
    """Return the id that an embedder's vectors are kept under."""
    return getattr(embedder, "model_id", None) or type(embedder).__name__


async def embedded(embedder: Embedder, texts: Sequence[str]) -> Sequence[Vector]:
    """Return one vector a text.

    Raises:
        ModelError: The embedder failed, or gave other than one vector a text.
    """
    if not texts:
        return []
    name = model_id_of(embedder)
    try:
        found = list(await embedder.embed(texts))
    except MastraError:
        raise
    except Exception as error:
        raise ModelError(
            f"Embedder {name!r} failed: {error or type(error).__name__}", model_id=name
        ) from error
    if len(found) != len(texts):
        raise ModelError(
            f"Embedder {name!r} gave {len(found)} vectors for {len(texts)} texts: it has to give "
            "one for each, in order.",
            model_id=name,
        )
    return found
