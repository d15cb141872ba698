"""Forbids real model requests, so that a test never spends money by mistake."""

from __future__ import annotations

from urllib.parse import urlsplit

from mastra.errors import ConfigError

__all__ = ["RequestBlock", "check_request_allowed"]

_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))

_blocks: list[RequestBlock] = []


class RequestBlock:
    """Blocks real model requests from the moment it is made, until it is left or lifted.

    Args:
        allow_loopback: Whether servers on this machine may still be called.
    """

    def __init__(self, *, allow_loopback: bool = True) -> None:
        self.allow_loopback = allow_loopback
        _blocks.append(self)

    def lift(self) -> None:
        """Allow requests again."""
        if self in _blocks:
            _blocks.remove(self)

    def __enter__(self) -> RequestBlock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.lift()


def check_request_allowed(model_id: str, url: str | None) -> None:
    """Refuse a request while a block is in force.

    Raises:
        ConfigError: Requests are blocked.
    """
    if not _blocks:
        return
    is_loopback = url is not None and urlsplit(url).hostname in _LOOPBACK
    if is_loopback and all(block.allow_loopback for block in _blocks):
        return
    raise ConfigError(
        f"A request to {model_id} was blocked by block_model_requests(). Use ScriptedModel or "
        "FunctionModel in its place, or lift the block.",
        code="MODEL_REQUESTS_BLOCKED",
    )
