"""Every other provider, through `litellm`.

`litellm` is imported in a worker thread on the first call: it takes seconds. It is told to
fetch nothing, to log nothing and to leave retries to us.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mastra.errors import ConfigError, ModelError
from mastra.extras import needs
from mastra.models.base import ModelRequest
from mastra.models.chat_thoughts import SIGNING
from mastra.models.chunks import ModelChunk
from mastra.models.guard import check_request_allowed
from mastra.models.openai_request import chat_body
from mastra.models.openai_wire import ChatDecoder

__all__ = ["LiteLLMModel"]


class LiteLLMModel:
    """A model that `litellm` reaches.

    Args:
        model_name: As the provider spells it.
        provider: As `litellm` spells it.
        key_names: Environment variables of which one must be set; `None` where they are not
            known here, and `litellm` is asked.
        known: The providers there are, for the error about an unknown one.
        api_key: In place of the environment variable.
        base_url: In place of the provider's own address.
        headers: Further HTTP headers.
    """

    def __init__(
        self,
        model_name: str,
        *,
        provider: str,
        key_names: Sequence[str] | None = None,
        known: str = "",
        meant: str = "",
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.model_name = model_name
        self.provider = provider
        self.key_names = key_names
        self.known = known
        self.meant = meant
        self.api_key = api_key
        self.base_url = base_url
        self.headers = dict(headers or {})
        self._is_compatible = False
        """Whether litellm reaches it through the `openai` SDK."""

    def __repr__(self) -> str:
        return f"LiteLLMModel({self.model_id!r})"

    @property
    def model_id(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model_name}"

    def check(self) -> None:
        """Find out, before any request, whether one could be made.

        Raises:
            ConfigError: There is no key for it.
        """
        names = self.key_names
        if self.api_key is None and names and not any(os.environ.get(name) for name in names):
            raise self._missing(names)

    def _missing(self, names: Sequence[str]) -> ConfigError:
        return ConfigError(
            f"{self.model_id} needs an API key: set the environment variable {names[0]}, or use "
            f"ModelConfig(id={self.model_id!r}, api_key=...).",
            code="MISSING_API_KEY",
            details={"env": names[0], "model": self.model_id},
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Answer, chunk by chunk."""
        self.check()
        check_request_allowed(self.model_id, self.base_url)
        litellm = await self._litellm()
        decoder = ChatDecoder(self.model_id, include_raw=request.include_raw)
        try:
            answer: Any = await litellm.acompletion(**self._arguments(request))
        except Exception as error:
            raise self._error(error) from error
        try:
            async for event in self._events(answer):
                out: list[ModelChunk] = []
                decoder.event(event, out)
                for chunk in out:
                    yield chunk
            for chunk in decoder.end():
                yield chunk
        finally:
            # The wrapper has no aclose in every version; what it wraps holds the connection.
            close = getattr(getattr(answer, "completion_stream", None), "aclose", None)
            if close is not None:
                await close()

    async def embeddings(
        self, texts: Sequence[str], options: Mapping[str, Any]
    ) -> Sequence[Sequence[float]]:
        """Return what texts mean, one vector each.

        Args:
            texts: What to look at.
            options: Further arguments of `litellm.aembedding`, such as `dimensions`.

        Raises:
            ConfigError: There is no key, or requests are blocked.
            ModelError: The provider refused, or could not be reached.
        """
        self.check()
        check_request_allowed(self.model_id, self.base_url)
        litellm = await self._litellm()
        try:
            answer: Any = await litellm.aembedding(
                model=self.model_id,
                input=list(texts),
                api_key=self.api_key,
                api_base=self.base_url,
                num_retries=0,
                max_retries=0,
                **options,
            )
        except Exception as error:
            raise self._error(error) from error
        return [item["embedding"] for item in answer.data]

    async def _events(self, answer: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            async for chunk in answer:
                yield _event(chunk, signs=self.provider in SIGNING)
        except Exception as error:
            raise self._error(error) from error

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        # Options are keyed by the name the user knows, which litellm's may differ from.
        extra = dict(request.settings.extra_body or {})
        settings = replace(request.settings, extra_body=None)
        body = chat_body(replace(request, settings=settings), self.model_name, self.provider)
        if self._is_compatible:
            # Whatever is no argument of the SDK behind it has to be a part of the body.
            known = {**extra, **body.pop("extra_body", {})}
            body["extra_body"] = known or None
        else:
            body.update(extra)
        headers = {**self.headers, **(request.settings.headers or {})}
        return {
            **body,
            "model": self.model_id,
            "api_key": self.api_key,
            "base_url": self.base_url,
            "extra_headers": headers or None,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
        }

    async def _litellm(self) -> Any:
        litellm = await asyncio.to_thread(_import, self.model_id, self.meant)
        compatible: list[str] = litellm.openai_compatible_providers
        self._is_compatible = self.provider in compatible
        if self.provider not in litellm.provider_list:
            variable = re.sub(r"\W", "_", self.provider).upper() + "_API_KEY"
            raise ConfigError(
                f"There is no provider {self.provider!r} (in model {self.model_id!r}). {self.known}"
                f"{self.meant} One that speaks OpenAI's API: ModelConfig(id={self.model_id!r}, url=..., "
                f"api_key=os.environ[{variable!r}]).",
                code="UNKNOWN_PROVIDER",
                details={"provider": self.provider},
            )
        if self.key_names is None and self.api_key is None:
            found: Mapping[str, Any] = litellm.validate_environment(self.model_id)
            if found["missing_keys"]:
                raise self._missing(found["missing_keys"])
        return litellm

    def _error(self, error: Exception) -> ModelError:
        """Return our error for one of litellm's, which all have a status."""
        from mastra.models.http_errors import (  # noqa: PLC0415 - failures only
            explain_status,
            may_pass,
            retry_after_of,
        )

        status: int | None = getattr(error, "status_code", None)
        kind = type(error).__name__
        said = str(getattr(error, "message", None) or error)
        if status is None or kind in {"APIConnectionError", "Timeout"}:
            return ModelError(
                f"Could not reach {self.model_id}: {said}",
                model_id=self.model_id,
                is_retryable=kind in {"APIConnectionError", "Timeout"},
                code="MODEL_UNREACHABLE",
            )
        name = self.key_names[0] if self.key_names else "its key"
        response: Any = getattr(error, "response", None)
        return ModelError(
            explain_status(
                status,
                self.model_id,
                said,
                key=f"the environment variable {name}",
                url=self.base_url,
            ),
            status_code=status,
            model_id=self.model_id,
            is_retryable=may_pass(status),
            details={
                "retry_after_s": None if response is None else retry_after_of(response.headers)
            },
        )


def _import(model_id: str, meant: str) -> Any:
    # Read while it is imported: without it, a price list is fetched from the network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    with needs("litellm", f"{model_id!r} is reached through litellm.{meant} It"):
        import litellm  # noqa: PLC0415 - seconds, so on first use
    settings: Any = litellm
    settings.telemetry = False
    # To count the tokens of a Llama model it would look for a tokenizer, for most of a minute.
    settings.disable_hf_tokenizer_download = True
    settings.suppress_debug_info = True
    settings.disable_streaming_logging = True
    settings.turn_off_message_logging = True
    return litellm


def _event(chunk: Any, *, signs: bool) -> dict[str, Any]:
    """Return litellm's chunk as the event of OpenAI's that it imitates."""
    event: dict[str, Any] = {"id": chunk.id, "model": chunk.model, "created": chunk.created}
    usage: Any = getattr(chunk, "usage", None)
    if usage is not None:
        event["usage"] = usage.model_dump(exclude_none=True)
    if chunk.choices:
        choice = chunk.choices[0]
        delta = choice.delta
        wire: dict[str, Any] = {"content": delta.content}
        thought = getattr(delta, "reasoning_content", None)
        if thought:
            wire["reasoning_content"] = thought
        if signs:
            wire["thinking_blocks"] = getattr(delta, "thinking_blocks", None) or ()
        if delta.tool_calls:
            wire["tool_calls"] = [_call(call) for call in delta.tool_calls]
        event["choices"] = [{"delta": wire, "finish_reason": choice.finish_reason}]
    return event


def _call(call: Any) -> dict[str, Any]:
    return {
        "index": call.index,
        "id": call.id,
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }
