"""OpenAI and every compatible endpoint: the `openai` SDK's client sends, we read.

The SDK keeps keys, addresses and headers; the body of its response is read as bytes and decoded
in `openai_wire`. Retries are ours (`calling`), so the SDK's own are off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from mastra.models.base import ModelRequest
from mastra.models.foreign_json import sendable
from mastra.models.http import CONNECT_S, SILENCE_S, HttpCall, HttpModel
from mastra.models.openai_request import chat_body
from mastra.models.openai_wire import ChatDecoder
from mastra.models.providers import Endpoint

if TYPE_CHECKING:
    import aiohttp
    import openai

__all__ = ["OpenAIModel"]


class OpenAIModel(HttpModel):
    """A model behind OpenAI's API.

    Args:
        model_name: As the provider spells it.
        base_url: Where the API is, with its `/v1`. Default: `OPENAI_BASE_URL`, or OpenAI's own.
        api_key: Default: `OPENAI_API_KEY`, which is sent to OpenAI and to `OPENAI_BASE_URL`
            alone; an endpoint given by `base_url` gets no key unless it is given one.
        headers: Further HTTP headers.
        provider: What the provider is called in messages, metadata and `provider_options`.
            Default: `openai`.
        api: Chat completions, or responses.
        endpoint: Of a provider known by name: its address and its environment variables, in place
            of OpenAI's.
    """

    default_provider = "openai"
    key_names = ("OPENAI_API_KEY",)
    url_names = ("OPENAI_BASE_URL",)
    default_url = "https://api.openai.com/v1"
    modules: ClassVar[tuple[str, ...]] = ("openai", "mastra.models.openai_transport")

    def __init__(
        self,
        model_name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        provider: str | None = None,
        api: Literal["chat", "responses"] = "chat",
        endpoint: Endpoint | None = None,
    ) -> None:
        super().__init__(
            model_name, provider=provider, base_url=base_url, api_key=api_key, headers=headers
        )
        self.api: Literal["chat", "responses"] = api
        if endpoint is not None:
            self.key_names, self.url_names = endpoint.key_names, endpoint.url_names
            self.default_url = endpoint.url

    async def send(self, call: HttpCall, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a call through the SDK's client.

        Raises:
            ModelError: The provider refused, or could not be reached.
        """
        import httpx  # noqa: PLC0415 - comes with openai
        import openai  # noqa: PLC0415 - imported by now

        client = await self.client()
        options: Any = {"headers": self._sdk_headers(headers)}

        def post(body: object) -> Awaitable[object]:
            return client.post(
                call.path,
                body=body,
                cast_to=httpx.Response,
                options=options,
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )

        try:
            try:
                response = await post(call.body)
            except ValueError:
                # Half a character, or NaN: strict JSON has neither.
                response = await post(sendable(call.body))
        except openai.OpenAIError as error:
            from mastra.models.openai_errors import model_error  # noqa: PLC0415 - failures only

            raise model_error(error, self) from error
        from mastra.models.openai_transport import RESPONSE  # noqa: PLC0415 - imports httpx

        return cast("httpx.Response", response).extensions[RESPONSE]

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

        await self.prepare()
        return await embeddings(self, await self.client(), texts, options)

    def extra_headers(self) -> dict[str, Any]:
        """Return the headers of a request, as the SDK takes them."""
        return self._sdk_headers(self.headers)

    def _sdk_headers(self, given: Mapping[str, str]) -> dict[str, Any]:
        import openai  # noqa: PLC0415 - imported by now

        headers: dict[str, Any] = dict(given)
        if self.key is None:
            # Without a key of its own an endpoint is sent none: least of all OpenAI's.
            headers.setdefault("Authorization", openai.Omit())
        return headers

    def call(self, request: ModelRequest) -> HttpCall:
        """Return what to send."""
        if self.api == "responses":
            from mastra.models.openai_responses import ResponsesDecoder  # noqa: PLC0415 - seldom
            from mastra.models.responses_request import responses_body  # noqa: PLC0415 - seldom

            return HttpCall(
                "/responses",
                responses_body(request, self.model_name, self.provider),
                ResponsesDecoder(self.model_id, include_raw=request.include_raw),
            )
        return HttpCall(
            "/chat/completions",
            chat_body(request, self.model_name, self.provider),
            ChatDecoder(self.model_id, include_raw=request.include_raw),
        )

    async def client(self) -> openai.AsyncOpenAI:
        """Return the SDK's client of the running event loop."""
        from mastra.models.openai_transport import sdk_http  # noqa: PLC0415 - imports httpx

        by_key, http = await sdk_http()
        key = self.key
        found = by_key.get((self.url, key))
        if found is None:
            import httpx  # noqa: PLC0415 - comes with openai
            import openai  # noqa: PLC0415 - half a second, so on first use

            found = openai.AsyncOpenAI(
                api_key=key or "none",
                base_url=self.url,
                max_retries=0,
                timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
                http_client=http,
            )
            by_key[self.url, key] = found
        return found
