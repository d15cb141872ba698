"""What every provider spoken to natively shares: keys, addresses, sending, reading and errors.

A provider is a subclass of `HttpModel` that makes requests, and a decoder that reads the bytes of
answers. Nothing here imports aiohttp until a request is sent. Retries are made by `calling`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from mastra.errors import ConfigError, ModelError
from mastra.extras import needs
from mastra.given import ADDRESS
from mastra.jsonable import Json
from mastra.models.base import ModelRequest, drained
from mastra.models.chunks import ModelChunk, ResponseMetadata
from mastra.models.foreign_json import encode_body
from mastra.models.guard import check_request_allowed

if TYPE_CHECKING:
    import aiohttp

__all__ = ["CONNECT_S", "SILENCE_S", "Decoder", "HttpCall", "HttpModel", "HttpSource"]

CONNECT_S: Final = 10.0
SILENCE_S: Final = 600.0
"""A provider that says nothing for so long has died."""

_SESSIONS: Final = "mastra.models.sessions"
_LONGEST_ERROR: Final = 1 << 20


class Decoder(Protocol):
    """Bytes of an answer in, chunks out."""

    done: bool
    """Whether the answer is complete."""

    def feed(self, data: bytes) -> list[ModelChunk]:
        """Return the chunks of one network read."""
        ...

    def end(self) -> list[ModelChunk]:
        """Return what is left when the body ends."""
        ...


@dataclass(slots=True)
class HttpCall:
    """One request to a provider, and what reads its answer."""

    path: str
    """Below the base URL, with the slash it begins with."""
    body: Mapping[str, Json]
    """Sent as JSON."""
    decoder: Decoder
    """Reads the answer."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Of this call alone, such as those for beta features."""


class HttpModel(ABC):
    """A model behind a provider's own HTTP API.

    Args:
        model_name: As the provider spells it.
        provider: What the provider is called in messages, metadata and `provider_options`. Default:
            its own name.
        base_url: Where the API is. Default: what the environment says, or the provider's own.
        api_key: Default: the environment's, which is sent to the provider and to the base URL of
            the environment alone; an endpoint given by `base_url` gets no key unless it is given
            one.
        headers: Further HTTP headers.
    """

    default_provider: str
    """The provider's own name."""
    key_names: tuple[str, ...]
    """Environment variables with a key; the first one set is taken."""
    url_names: tuple[str, ...]
    """Environment variables with a base URL."""
    default_url: str
    """The provider's own base URL."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Further modules that a call needs, imported in a worker thread."""

    def __init__(
        self,
        model_name: str,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.model_name = model_name
        self.provider = provider or self.default_provider
        self.base_url = base_url
        self.api_key = api_key
        self.headers = dict(headers or {})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r})"

    @property
    def model_id(self) -> str:
        """`provider/model`, for messages."""
        return f"{self.provider}/{self.model_name}"

    @property
    def url(self) -> str:
        """Where the API is."""
        return self.base_url or _from_env(self.url_names) or self.default_url

    @property
    def key(self) -> str | None:
        """The key to send; the environment's never goes to an endpoint that a caller named."""
        if self.api_key is None and self.base_url is None:
            return _from_env(self.key_names)
        return self.api_key

    @property
    def key_source(self) -> str:
        """Where a user is to look for the key, for messages."""
        if self.api_key is not None or self.base_url is not None:
            return "the api_key of its ModelConfig"
        found = next((name for name in self.key_names if os.environ.get(name)), self.key_names[0])
        return f"the environment variable {found}"

    @property
    def _url_source(self) -> str:
        if self.base_url is not None:
            return "its base URL"
        found = next((name for name in self.url_names if os.environ.get(name)), self.url_names[0])
        return f"the environment variable {found}"

    def check(self) -> None:
        """Find out, before any request, whether one could be made.

        Raises:
            ConfigError: There is no key for it, or what should be its address is none.
        """
        if not ADDRESS.holds(self.url):
            raise ConfigError(
                f"{self.model_id} is to be asked at {self.url!r}. An address begins with http:// "
                f"or https://: look at {self._url_source}.",
                details={"url": self.url, "model": self.model_id},
            )
        if self.base_url is None and self.key is None:
            name = self.key_names[0]
            raise ConfigError(
                f"{self.model_id} needs an API key: set the environment variable {name}, "
                f"or use ModelConfig(id={self.model_id!r}, api_key=...).",
                code="MISSING_API_KEY",
                details={"env": name, "model": self.model_id},
            )

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Answer, chunk by chunk."""
        return drained(self, request)

    async def open(self, request: ModelRequest) -> HttpSource:
        """Send the request and return the answer, once its head is there.

        Raises:
            ConfigError: There is no key, or requests are blocked.
            ModelError: The provider refused, or could not be reached.
        """
        await self.prepare()
        call = self.call(request)
        headers = {**self.headers, **call.headers, **(request.settings.headers or {})}
        response = await self.send(call, headers)
        shown = {"body": call.body, "url": self.address(call)}
        return HttpSource(self, response, call.decoder, shown)

    async def prepare(self) -> None:
        """Check that a call may be made, and import what it needs.

        Raises:
            ConfigError: There is no key, or requests are blocked.
            MissingDependencyError: A package is not installed.
        """
        self.check()
        check_request_allowed(self.model_id, self.url)
        if not self._is_imported():
            await asyncio.to_thread(self._import)

    def _is_imported(self) -> bool:
        """Return whether all is there that a call needs, with TLS where it is spoken."""
        modules = sys.modules
        # Another thread may be in the middle of importing it.
        has_tls: Any = getattr(modules.get(_SESSIONS), "has_tls", None)
        if has_tls is None or not all(name in modules for name in self.modules):
            return False
        return has_tls() or not self.url.startswith("https:")

    def _import(self) -> None:
        """Import what calls need, in a worker thread: half a second that the event loop goes on."""
        with needs(self.default_provider, f"The model {self.model_id}"):
            for name in (*self.modules, _SESSIONS):
                import_module(name)
        if self.url.startswith("https:"):
            sessions: Any = sys.modules[_SESSIONS]
            sessions.tls_context()

    def address(self, call: HttpCall) -> str:
        """Return where a call goes."""
        return self.url.rstrip("/") + call.path

    @abstractmethod
    def call(self, request: ModelRequest) -> HttpCall:
        """Return what to send."""
        ...

    def key_headers(self) -> dict[str, str]:
        """Return the headers that carry the key; none without one."""
        key = self.key
        return {} if key is None else {"authorization": f"Bearer {key}"}

    async def send(self, call: HttpCall, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a call and return its answer, once the head is there.

        Args:
            call: What to send.
            headers: Those of the model, of the call and of its settings together; they go over
                the ones that are made here.

        Raises:
            ModelError: The provider refused, or could not be reached.
        """
        import aiohttp  # noqa: PLC0415 - imported by now
        import yarl  # noqa: PLC0415 - imported by now

        from mastra.models.sessions import loop_clients  # noqa: PLC0415 - imports aiohttp

        clients = await loop_clients()
        named = {"content-type": "application/json", **self.key_headers()}
        named.update({name.lower(): value for name, value in headers.items()})
        try:
            response = await clients.request(
                "POST",
                yarl.URL(self.address(call), encoded=True),
                data=encode_body(call.body),
                headers=named,
                connect_s=CONNECT_S,
                silence_s=SILENCE_S,
            )
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise self.silent() from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self.unreachable(error) from error
        if response.status >= 300:
            raise await self._refused(response)
        return response

    async def _refused(self, response: aiohttp.ClientResponse) -> ModelError:
        """Return the error that an answer is, read as far as it goes."""
        from mastra.models.http_errors import refusal  # noqa: PLC0415 - failures only

        read: list[bytes] = []
        try:
            while data := await response.content.readany():
                read.append(data)
                if sum(map(len, read)) > _LONGEST_ERROR:
                    break
        except Exception:  # noqa: BLE001, S110 - the status says what happened
            pass
        response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return refusal(self, response.status, headers, b"".join(read), response.reason)

    def silent(self) -> ModelError:
        """Return the error for a provider that does not answer."""
        return ModelError(
            f"{self.model_id} did not answer in time at {self.url}.",
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_TIMEOUT",
        )

    def unreachable(self, cause: object) -> ModelError:
        """Return the error for a provider to which there is no connection."""
        # What aiohttp says around it holds the address of an object.
        cause = getattr(cause, "os_error", None) or cause
        return ModelError(
            f"Could not reach {self.model_id} at {self.url}: {cause}. "
            "Check that the address is right and that the server is running.",
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_UNREACHABLE",
            details={"url": self.url},
        )


def _from_env(names: Sequence[str]) -> str | None:
    # A key out of a file often has its line's end, which no header may have.
    found = (os.environ.get(name, "").strip() for name in names)
    return next((value for value in found if value), None)


class HttpSource:
    """An answer under way: each network read is one batch."""

    __slots__ = ("_content", "_decoder", "_is_first", "_model", "_response", "request")

    def __init__(
        self,
        model: HttpModel,
        response: aiohttp.ClientResponse,
        decoder: Decoder,
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
            try:
                batch = decoder.feed(data) if data else decoder.end()
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise self._unreadable(error) from error
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

    def _unreadable(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self._model.model_id} sent something at {self._model.url} that is not its API's: "
            f"{type(error).__name__}: {error}.",
            model_id=self._model.model_id,
            code="MODEL_RESPONSE_INVALID",
        )

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
        else:  # its end mark is still to come
            from mastra.models.sessions import let_end  # noqa: PLC0415 - imports aiohttp

            let_end(response)
