"""`TokenLimiter`: a prompt and an answer of so many tokens at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mastra.processors.base import OutputStreamContext, Processor, RequestContextOfModel
from mastra.processors.tokens import RequestSize, TokenCounter
from mastra.processors.turns import fitted

__all__ = ["TokenLimiter"]


class TokenLimiter(Processor):
    """Keeps each request and the answer within a number of tokens.

    Of a conversation the latest is sent, and no call without its result. The system's messages
    and the user's last message always are; results of the latest calls are cut where they alone
    are too long. What is left out is left out of the request alone: memory keeps it. An answer is
    cut.

    Args:
        limit: Tokens of a request, with the tools that it offers.
        output_limit: Tokens of the answer, if that is to be limited.
        count: Counts the tokens of a text, as `len(tiktoken.get_encoding("o200k_base").encode(text))`
            does. Default: `estimate_tokens`, which needs no tokenizer and rather counts too many.
    """

    id = "token-limiter"

    def __init__(
        self,
        limit: int,
        *,
        output_limit: int | None = None,
        count: TokenCounter | None = None,
    ) -> None:
        self._limit = limit
        self._output_limit = output_limit
        self._size = RequestSize(count)

    def process_llm_request(self, ctx: RequestContextOfModel) -> Mapping[str, Any] | None:
        """Leave out the oldest until the rest fits."""
        size = self._size
        limit = self._limit - size.around(ctx.request)
        if size.messages(ctx.prompt) <= limit:
            return None
        return {"prompt": fitted(ctx.prompt, limit, size)}

    def process_output_stream(self, ctx: OutputStreamContext) -> Any:
        """Drop what is over the limit."""
        part = ctx.part
        if self._output_limit is None or part.type != "text-delta":
            return part
        used: int = ctx.state.get("used", 0) + self._size.count(part.payload.text)
        ctx.state["used"] = used
        return part if used <= self._output_limit else None
