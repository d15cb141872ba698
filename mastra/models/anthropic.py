"""Anthropic's messages API, spoken natively."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from mastra.models.anthropic_request import anthropic_body
from mastra.models.anthropic_wire import AnthropicDecoder
from mastra.models.base import ModelRequest
from mastra.models.http import HttpCall, HttpModel

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AnthropicModel"]

_BETA: Final = "anthropic-beta"


class AnthropicModel(HttpModel):
    """A model behind Anthropic's messages API.

    Args:
        model_name: As Anthropic spells it.
        base_url: Where the API is, with or without its `/v1`. Default: `ANTHROPIC_BASE_URL`, or
            Anthropic's own.
        api_key: Default: `ANTHROPIC_API_KEY`, or the token in `ANTHROPIC_AUTH_TOKEN`; both are
            sent to Anthropic and to `ANTHROPIC_BASE_URL` alone.
        headers: Further HTTP headers. Names in `anthropic-beta` are added to those that a request
            needs.
        provider: What the provider is called in messages, metadata and `provider_options`.
            Default: `anthropic`.
    """

    default_provider = "anthropic"
    key_names = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    url_names = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")
    default_url = "https://api.anthropic.com"

    def address(self, call: HttpCall) -> str:
        """Return where a call goes."""
        return self.url.rstrip("/").removesuffix("/v1") + call.path

    def key_headers(self) -> dict[str, str]:
        """Return the headers that carry the key, and say which version of the API is spoken."""
        version = {"anthropic-version": "2023-06-01"}
        key = self.key
        if key is None:
            return version
        own = self.api_key is not None or os.environ.get("ANTHROPIC_API_KEY")
        return {**version, **({"x-api-key": key} if own else super().key_headers())}

    def call(self, request: ModelRequest) -> HttpCall:
        """Return what to send."""
        made = anthropic_body(request, self.model_name, self.provider)
        decoder = AnthropicDecoder(
            self.model_id,
            include_raw=request.include_raw,
            answer_tool=made.answer_tool,
            names=made.said.names,
            renamed=made.renamed,
            documents=made.said.documents,
        )
        given = [*_betas(self.headers), *_betas(request.settings.headers or {})]
        betas = list(dict.fromkeys([*given, *made.betas]))
        headers = {_BETA: ",".join(betas)} if betas else {}
        return HttpCall("/v1/messages", made.body, decoder, headers)

    async def send(self, call: HttpCall, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a call; features that a request needs are asked for beside those of its headers.

        Raises:
            ModelError: The provider refused, or could not be reached.
        """
        named = {name: value for name, value in headers.items() if name.lower() != _BETA}
        return await super().send(call, {**named, **call.headers})


def _betas(headers: Mapping[str, str]) -> Iterable[str]:
    for name, value in headers.items():
        if name.lower() == _BETA:
            yield from filter(None, (item.strip() for item in value.split(",")))
