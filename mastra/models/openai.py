"""OpenAI and every compatible endpoint: the `openai` SDK's client sends, we read.

The SDK keeps keys, addresses and headers; the body of its response is read as bytes and decoded
in `openai_wire`. Retries are ours (`calling`), so the SDK's own are off.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from mastra.errors import ConfigError, MissingDependencyError, ModelError
from mastra.models.base import ModelRequest
from mastra.models.chunks import ModelChunk, ResponseMetadata
from mastra.models.guard import check_request_allowed
from mastra.models.openai_request import chat_body
from mastra.models.openai_wire import ChatDecoder, SseDecoder

if TYPE_CHECKING:
    import aiohttp
    import openai

__all__ = ["OpenAIModel", "OpenAISource"]

_DEFAULT_URL = "https://api.openai.com/v1"
_CONNECT_S = 10.0
_SILENCE_S = 600.0
"""A provider that says nothing for so long has died."""


class OpenAIModel:
    """A model behind OpenAI's API.

    Args:
        model_name: As the provider spells it.
        base_url: Where the API is, with its `/v1`. Default: `OPENAI_BASE_URL`, or OpenAI's own.
        api_key: Default: `OPENAI_API_KEY`, which is sent to OpenAI and to `OPENAI_BASE_URL`
            alone; an endpoint given by `base_url` gets no key unless it is given one.
        headers: Further HTTP headers.
        provider: What the provider is called in messages, metadata and `provider_options`.
        api: Chat completions, or responses.
    """

    def __init__(
        self,
        model_name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        provider: str = "openai",
        api: Literal["chat", "responses"] = "chat",
    ) -> None:
        self.model_name = model_name
        self.provider = provider
        self.base_url = base_url
        self.api_key = api_key
        self.headers = dict(headers or {})
        self.api: Literal["chat", "responses"] = api

    def __repr__(self) -> str:
        return f"OpenAIModel({self.model_id!r})"

    @property
    def model_id(self) -> str:
        """`provider/model`, for messages."""
        return f"{self.provider}/{self.model_name}"

    @property
    def url(self) -> str:
        """Where the API is."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL

    def check(self) -> None:
        """Find out, before any request, whether one could be made.

        Raises:
            ConfigError: There is no key for it.
        """
        if self.api_key is None and self.base_url is None and not os.environ.get("OPENAI_API_KEY"):
            raise ConfigError(
                f"{self.model_id} needs an API key: set the environment variable OPENAI_API_KEY, "
                f"or use ModelConfig(id={self.model_id!r}, api_key=...).",
                code="MISSING_API_KEY",
                details={"env": "OPENAI_API_KEY", "model": self.model_id},
            )

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Answer, chunk by chunk."""
        source = await self.open(request)
        try:
            while batch := await source.read():
                for chunk in batch:
                    yield chunk
        finally:
            await source.aclose()

    async def open(self, request: ModelRequest) -> OpenAISource:
        """Send the request and return the answer, once its head is there.

        Raises:
            ConfigError: There is no key, or requests are blocked.
            ModelError: The provider refused, or could not be reached.
        """
        self.check()
        check_request_allowed(self.model_id, self.url)
        path, body, decoder = self._call(request)
        if "openai" not in sys.modules:
            await asyncio.to_thread(_import)
        import httpx  # noqa: PLC0415 - comes with openai
        import openai  # noqa: PLC0415 - imported by now

        client = await self.client()
        options: Any = {"headers": self.extra_headers(request.settings.headers)}
        try:
            response = await client.post(
                path,
                body=body,
                cast_to=httpx.Response,
                options=options,
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
        except openai.OpenAIError as error:
            from mastra.models.openai_errors import model_error  # noqa: PLC0415 - failures only

            raise model_error(error, self) from error
        from mastra.models.http import RESPONSE  # noqa: PLC0415 - imports aiohttp

        raw = cast("httpx.Response", response)
        return OpenAISource(
            self, raw.extensions[RESPONSE], decoder, {"body": body, "url": self.url + path}
        )

    async def embeddings(
        self, texts: Sequence[str], options: Mapping[str, Any]
    ) -> Sequence[Sequence[float]]:
        """Return what texts mean, one vector each.

        Args:
            texts: What to look at.
            options: Further fields of the request, such as `dimensions`.

        Raises:
            ConfigError: There is no key, or requests are blocked.
            ModelError: The provider refused, or could not be reached.
        """
        from mastra.models.openai_embeddings import embeddings  # noqa: PLC0415 - seldom used

        self.check()
        check_request_allowed(self.model_id, self.url)
        if "openai" not in sys.modules:
            await asyncio.to_thread(_import)
        return await embeddings(self, await self.client(), texts, options)

    def extra_headers(self, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the headers of a request."""
        import openai  # noqa: PLC0415 - imported by now

        headers: dict[str, Any] = {**self.headers, **(more or {})}
        if self._key() is None:
            # Without a key of its own an endpoint is sent none: least of all OpenAI's.
            headers.setdefault("Authorization", openai.Omit())
        return headers

    def _call(self, request: ModelRequest) -> tuple[str, dict[str, Any], SseDecoder]:
        if self.api == "responses":
            from mastra.models.openai_responses import (  # noqa: PLC0415 - chat is the usual
                ResponsesDecoder,
                responses_body,
            )

            body = responses_body(request, self.model_name, self.provider)
            return (
                "/responses",
                body,
                ResponsesDecoder(self.model_id, include_raw=request.include_raw),
            )
        body = chat_body(request, self.model_name, self.provider)
        decoder = ChatDecoder(self.model_id, include_raw=request.include_raw)
        return "/chat/completions", body, decoder

    def _key(self) -> str | None:
        if self.api_key is None and self.base_url is None:
            return os.environ.get("OPENAI_API_KEY")
        return self.api_key

    async def client(self) -> openai.AsyncOpenAI:
        """Return the SDK's client of the running event loop."""
        from mastra.models.http import loop_clients  # noqa: PLC0415 - imports aiohttp

        clients = await loop_clients()
        key = self._key()
        found = clients.by_key.get((self.url, key))
        if found is None:
            import httpx  # noqa: PLC0415 - comes with openai
            import openai  # noqa: PLC0415 - half a second, so on first use

            found = openai.AsyncOpenAI(
                api_key=key or "none",
                base_url=self.url,
                max_retries=0,
                timeout=httpx.Timeout(_SILENCE_S, connect=_CONNECT_S),
                http_client=clients.http,
            )
            clients.by_key[self.url, key] = found
        return found


def _import() -> None:
    """Import what calls need, in a worker thread: half a second that the event loop goes on."""
    try:
        for name in ("openai", "mastra.models.http"):
            import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"This model needs a package that is not installed: {error.name}. "
            "Install it with: pip install openai aiohttp."
        ) from error


class OpenAISource:
    """An answer under way: each network read is one batch."""

    __slots__ = ("_content", "_decoder", "_is_first", "_model", "_response", "request")

    def __init__(
        self,
        model: OpenAIModel,
        response: aiohttp.ClientResponse,
        decoder: SseDecoder,
        request: Mapping[str, Any],
    ) -> None:
        self.request = request
        self._model = model
        self._response = response
        self._content = response.content
        self._decoder = decoder
        self._is_first = True

    async def read(self) -> Sequence[ModelChunk]:
        """Return the chunks of the next network read; none at the end.

        Raises:
            ModelError: The connection broke, or what came cannot be read.
        """
        decoder = self._decoder
        while not decoder.done:
            try:
                data = await self._content.readany()
            except Exception as error:
                raise self._broken(error) from error
            batch = decoder.feed(data) if data else decoder.end()
            if batch:
                if self._is_first:
                    self._add_headers(batch)
                return batch
        return ()

    def _add_headers(self, batch: Sequence[ModelChunk]) -> None:
        self._is_first = False
        for chunk in batch:
            if isinstance(chunk, ResponseMetadata):
                chunk.headers = {
                    name.lower(): value for name, value in self._response.headers.items()
                }
                return

    def _broken(self, error: Exception) -> ModelError:
        return ModelError(
            f"The connection to {self._model.url} broke while {self._model.model_id} answered: "
            f"{error or type(error).__name__}.",
            model_id=self._model.model_id,
            is_retryable=True,
            code="MODEL_STREAM_CUT",
        )

    def interrupt(self) -> None:
        """Close the connection; a `read` that waits raises."""
        self._response.close()

    async def aclose(self) -> None:
        """Give the connection back if the answer was read, or close it."""
        response = self._response
        if response.closed:
            return
        if not self._decoder.done:
            response.close()
        elif not self._content.is_eof():
            from mastra.models.http import let_end  # noqa: PLC0415 - imports aiohttp

            let_end(response)
