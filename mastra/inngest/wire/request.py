"""One request of the server to a function, with what the SDK does not pass on by itself."""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import inngest

from mastra.inngest.wire.names import ERROR_RETRIES
from mastra.jsonable import dump_json

__all__ = ["RequestFacts", "RequestMiddleware", "current_request"]

LARGE_BYTES = 1024 * 1024

WHOLE_RUN = "step"
"""The target of a request that is not for one operation."""


@dataclass(slots=True)
class RequestFacts:
    """What the server said beside the event."""

    run_id: str
    """The run's id on the server."""
    function_uuid: str
    queue_item: str
    request_id: str
    generation: int
    attempt: int
    max_attempts: int | None
    must_plan: bool
    """Whether a step may not run at once: others are planned beside it."""
    target: str
    memos: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the server keeps, by hashed id."""
    memo_bytes: int = 0
    """About how large that is."""

    @property
    def is_targeted(self) -> bool:
        """Whether only one operation is asked for."""
        return self.target != WHOLE_RUN

    @property
    def is_error_final(self) -> bool:
        """Whether an error ends the run: the server gives up, or has asked often enough."""
        tries = self.attempt + 1
        is_last = self.max_attempts is not None and tries >= self.max_attempts
        return is_last or tries > ERROR_RETRIES


_current: ContextVar[RequestFacts] = ContextVar("mastra_inngest_request")


def current_request() -> RequestFacts:
    """Return the request that is being answered."""
    return _current.get()


async def _body_of(raw: Any) -> tuple[dict[str, Any], str, int]:
    payload = getattr(raw, "request_payload", None)
    if payload is not None:  # a worker that is connected by WebSocket
        return json.loads(payload), str(raw.step_id or WHOLE_RUN), len(payload)
    target = str(raw.query_params.get("stepId") or WHOLE_RUN)
    return await raw.json(), target, len(await raw.body())


def _size_of(memos: dict[str, Any], body_bytes: int, *, is_complete: bool) -> int:
    # Of a small request it does not matter how much is the event.
    if is_complete and body_bytes < LARGE_BYTES:
        return body_bytes
    return len(dump_json(memos, what="What the server keeps"))


class RequestMiddleware(inngest.Middleware):
    """Reads the request before the function is called."""

    async def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        """Keep what the engine needs."""
        del function
        body, target, size = await _body_of(self.raw_request)
        raw = cast("dict[str, Any]", body["ctx"])
        # The SDK's own memos are as good; those of a request that was too big are only there.
        memos = {key: memo.data for key, memo in steps._memos.items() if memo.error is None}  # noqa: SLF001
        _current.set(
            RequestFacts(
                run_id=ctx.run_id,
                function_uuid=str(raw.get("fn_id") or ""),
                queue_item=str(raw.get("qi_id") or ""),
                request_id=str(raw.get("request_id") or ""),
                generation=int(raw.get("generation_id") or 0),
                attempt=ctx.attempt,
                max_attempts=raw.get("max_attempts"),
                must_plan=bool(raw.get("disable_immediate_execution")),
                target=target,
                memos=memos,
                memo_bytes=_size_of(memos, size, is_complete=not body.get("use_api")),
            )
        )
