"""Calls models: retries before the first chunk, then the next of a fallback list.

A call has succeeded once its first chunk is there. What fails after that is not tried again: the
reader has seen part of the answer.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mastra.clock import sleep, timeout
from mastra.errors import MastraError, ModelError
from mastra.models.base import ChunkSource, Model, ModelRequest, SourceModel, model_name_of
from mastra.models.chunks import ModelChunk, ResponseMetadata
from mastra.models.reading_back import ReadBackSource, prepare
from mastra.models.settings import NO_SETTINGS, ModelSettings

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["DEFAULT_RETRIES", "Answer", "ModelEntry", "open_answer", "with_retries"]

T = TypeVar("T")

DEFAULT_RETRIES: Final = 2
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 8.0
_LONGEST_ASKED_S: Final = 60.0
"""A provider that asks for a longer wait has, for one run, failed."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a fallback list, with what holds for it alone."""

    model: Model
    """What to call."""
    max_retries: int | None = None
    """Retries before the next entry, where they are its own."""
    settings: ModelSettings = NO_SETTINGS
    """Defaults for this model; what the call says goes first."""
    provider_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request, keyed by provider."""

    @property
    def name(self) -> str:
        """`provider/model`."""
        return model_name_of(self.model)


@dataclass(slots=True)
class Answer:
    """An answer that has begun."""

    entry: ModelEntry
    """Which model answers."""
    source: ChunkSource
    """Where the rest comes from."""
    first: list[ModelChunk]
    """What has come already: at least one chunk, unless the answer is empty."""
    is_resumable: bool
    """Whether a read may be left in the middle and taken up again."""


class IteratorSource:
    """Reads a model that only has `stream`, chunk by chunk."""

    __slots__ = ("_chunks", "_name", "request")

    def __init__(self, chunks: AsyncIterator[ModelChunk], name: str = "the model") -> None:
        self._chunks = chunks
        self._name = name
        self.request: Mapping[str, Any] = {}

    async def read(self) -> Sequence[ModelChunk]:
        """Return the next chunk; nothing at the end.

        Raises:
            ModelError: The model raised something of its own.
        """
        try:
            async for chunk in self._chunks:
                return (chunk,)
        except MastraError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self._name} failed: {error or type(error).__name__}", model_id=self._name
            ) from error
        return ()

    def interrupt(self) -> None:
        """Do nothing: whoever reads is cancelled instead."""

    async def aclose(self) -> None:
        """Close the generator behind it."""
        aclose = getattr(self._chunks, "aclose", None)
        if aclose is not None:
            await aclose()


async def open_answer(
    entries: Sequence[ModelEntry],
    request: ModelRequest,
    *,
    max_retries: int | None = None,
    default_retries: int | None = None,
    before: Callable[[], None] | None = None,
) -> Answer:
    """Return the answer of the first model that gives one.

    Args:
        entries: Tried in order; at least one.
        request: What to ask; settings and options of an entry are added to it.
        max_retries: Holds for every entry in place of its own.
        default_retries: Holds for those that have none of their own.
        before: Called before each model that is asked; what it raises ends the call.

    Raises:
        ModelError: None answered; the last one's failure.
    """
    failures: list[ModelError] = []
    usual = DEFAULT_RETRIES if default_retries is None else default_retries
    for entry in entries:
        own = usual if entry.max_retries is None else entry.max_retries
        if before is not None:
            before()
        try:
            return await with_retries(
                lambda entry=entry: _open(entry, request),
                own if max_retries is None else max_retries,
            )
        except ModelError as error:
            if failures and error.__context__ is None:
                error.__context__ = failures[-1]
            failures.append(error)
    raise failures[-1]


async def _open(entry: ModelEntry, request: ModelRequest) -> Answer:
    """Send the request and wait for the first chunk that says something."""
    settings = request.settings.over(entry.settings)
    if settings is not request.settings or entry.provider_options:
        options = {**entry.provider_options, **request.provider_options}
        for provider, own in entry.provider_options.items():
            options[provider] = {**(own or {}), **(request.provider_options.get(provider) or {})}
        request = replace(request, settings=settings, provider_options=options)
    limit = settings.timeout
    waits = None if limit is None else _least(limit.first_chunk, limit.step)
    try:
        async with timeout(waits):
            return await _first(entry, request)
    except TimeoutError as error:
        raise ModelError(
            f"{entry.name} sent nothing for {waits:g} seconds.",
            model_id=entry.name,
            # A step's limit is for all of its tries; that of the first chunk is for each.
            is_retryable=limit is not None and limit.first_chunk == waits,
            code="MODEL_TIMEOUT",
        ) from error
    except MastraError:
        raise
    except Exception as error:
        raise ModelError(
            f"{entry.name} failed: {error or type(error).__name__}", model_id=entry.name
        ) from error


async def _first(entry: ModelEntry, request: ModelRequest) -> Answer:
    model = entry.model
    request, back = prepare(request, model)
    is_source = isinstance(model, SourceModel)
    source: ChunkSource = (
        await model.open(request)
        if is_source
        else IteratorSource(model.stream(request), entry.name)
    )
    if back is not None:
        source = ReadBackSource(source, back)
    first: list[ModelChunk] = []
    try:
        while batch := await source.read():
            first += batch
            # Who answers is known before the model has worked: that is not yet an answer.
            if not isinstance(first[-1], ResponseMetadata):
                break
    except BaseException:
        await source.aclose()
        raise
    return Answer(entry, source, first, is_source)


def _least(*limits: float | None) -> float | None:
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


async def with_retries(attempt: Callable[[], Awaitable[T]], retries: int) -> T:
    """Call a model, and again after failures that may pass.

    Raises:
        ModelError: It failed every time, or in a way that will not pass.
    """
    try:
        return await attempt()
    except ModelError as error:
        if retries < 1 or not _may_retry(error):
            raise
        failure = error
    # Only a call that failed pays for the import and for tenacity's bookkeeping.
    from tenacity import (  # noqa: PLC0415
        AsyncRetrying,
        retry_if_exception,
        stop_after_attempt,
    )

    def wait(state: RetryCallState) -> float:
        outcome = state.outcome
        error = failure if outcome is None else outcome.exception()
        return _wait_s(error, state.attempt_number)

    await sleep(_wait_s(failure, 0))
    again = AsyncRetrying(
        stop=stop_after_attempt(retries),
        wait=wait,
        sleep=sleep,
        retry=retry_if_exception(_may_retry),
        reraise=True,
    )

    async def once_more() -> T:
        return await attempt()

    return await again(once_more)


def _may_retry(error: BaseException) -> bool:
    if not isinstance(error, ModelError) or not error.is_retryable:
        return False
    return (error.details.get("retry_after_s") or 0) <= _LONGEST_ASKED_S


def _wait_s(error: BaseException | None, failures: int) -> float:
    asked = error.details.get("retry_after_s") if isinstance(error, ModelError) else None
    if asked is not None:
        return float(asked)
    longest = min(_FIRST_WAIT_S * 2**failures, _LONGEST_WAIT_S)
    # Half of it at random, so that callers who failed together do not come back together.
    return longest * (1 - 0.5 * random.random())  # noqa: S311 - no secret
