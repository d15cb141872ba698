"""Google's Gemini API (`generateContent`), spoken natively."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from mastra.models.base import ModelRequest
from mastra.models.gemini_request import gemini_body
from mastra.models.gemini_wire import GeminiDecoder
from mastra.models.http import HttpCall, HttpModel

__all__ = ["GeminiModel"]

_VERSIONED: Final = re.compile(r"/v\d\w*$")


class GeminiModel(HttpModel):
    """A Gemini model.

    Args:
        model_name: As Google spells it, such as `gemini-2.5-flash`.
        base_url: Where the API is, with or without its version. Default: `GEMINI_BASE_URL`, or
            Google's own.
        api_key: Default: `GEMINI_API_KEY` or `GOOGLE_API_KEY`, which is sent to Google and to the
            base URL of the environment alone.
        headers: Further HTTP headers.
        provider: What the provider is called in messages, metadata and `provider_options`.
            Default: `gemini`.
    """

    default_provider = "gemini"
    key_names = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    url_names = ("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE")
    default_url = "https://generativelanguage.googleapis.com/v1beta"
    tool_name_rule: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
    """What a function may be called here: the first of it is no digit."""

    def address(self, call: HttpCall) -> str:
        """Return where a call goes."""
        base = self.url.rstrip("/")
        return (base if _VERSIONED.search(base) else f"{base}/v1beta") + call.path

    def key_headers(self) -> dict[str, str]:
        """Return the header that carries the key; none without one."""
        key = self.key
        return {} if key is None else {"x-goog-api-key": key}

    def call(self, request: ModelRequest) -> HttpCall:
        """Return what to send."""
        name = self.model_name if "/" in self.model_name else f"models/{self.model_name}"
        return HttpCall(
            f"/{name}:streamGenerateContent?alt=sse",
            gemini_body(request, self.model_name, self.provider),
            GeminiDecoder(self.model_id, include_raw=request.include_raw),
        )
