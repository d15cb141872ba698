"""Scoring while an application runs: what has ended is scored afterwards, on a sample."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mastra.errors import ConfigError, MastraError
from mastra.evals.outcomes import ScorerResult
from mastra.evals.scorer import Scorer
from mastra.evals.scores import ScoreRecord
from mastra.evals.trajectories import extract_trajectory
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.names import hint, python_name
from mastra.observability.otel import emit_evaluation
from mastra.services import Scorable, Services

__all__ = ["LiveScores", "ScorerEntry", "is_sampled"]

MAX_WAITING: Final = 1000
"""How many scorings may wait; where more are offered, the newest are left out and counted."""
AT_ONCE: Final = 4
"""How many run at once."""


def is_sampled(rate: float, key: str) -> bool:
    """Return whether a sample of some rate, from 0 to 1, takes the run of a key.

    It is the same answer for the same key in every process, as in the original.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 < rate


@dataclass(frozen=True, slots=True)
class ScorerEntry:
    """One entry of `scorers`: what scores, and what."""

    scorer: Any
    """A `Scorer`, or the key or id of one that the application has."""
    rate: float = 1.0
    """Which share of what ends."""
    filter: Callable[[Scorable], bool] | None = None
    """Leaves out what it is false of, before the sample is taken."""

    @classmethod
    def of(cls, given: Any, key: str) -> ScorerEntry:
        """Return an entry for itself, a scorer, or a dict.

        Raises:
            ConfigError: It is none.
        """
        if isinstance(given, ScorerEntry):
            return given
        if isinstance(given, (Scorer, str)):
            return cls(given)
        known = frozenset({"scorer", "sampling", "filter"})
        named: Mapping[str, Any] = {}
        if isinstance(given, Mapping):
            named = cast("Mapping[str, Any]", given)
        fields = {python_name(name, known) or name: value for name, value in named.items()}
        unknown = fields.keys() - known
        if unknown or "scorer" not in fields:
            raise ConfigError(
                f"scorers[{key!r}] is a scorer, or {{'scorer': …, 'sampling': {{'type': 'ratio', "
                f"'rate': 0.1}}, 'filter': …}}, not {given!r}.{hint(unknown, known)}"
            )
        return cls(fields["scorer"], _rate(fields.get("sampling"), key), fields.get("filter"))


def _rate(given: Any, key: str) -> float:
    sampling: Mapping[str, Any] = {}
    if given is None or isinstance(given, Mapping):
        sampling = {"type": "none"} if given is None else cast("Mapping[str, Any]", given)
    kind = sampling.get("type")
    rate: Any = 1.0 if kind == "none" else sampling.get("rate")
    is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if kind not in ("none", "ratio") or not is_number or not 0 <= rate <= 1:
        raise ConfigError(
            f"scorers[{key!r}]: sampling is {{'type': 'none'}}, which takes all, or {{'type': "
            f"'ratio', 'rate': 0.1}} with a rate from 0 to 1, not {given!r}."
        )
    return rate


class LiveScores:
    """Scores what has ended, beside what goes on, and keeps the scores."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._logger = get_logger(None, services.logger)
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
        self.left_out = 0
        """How many scorings were left out because too many waited."""

    def offer(self, scorers: Mapping[str, Any], key: str, make: Callable[[], Scorable]) -> None:
        """Have something that has ended scored by those whose sample takes it; never raise."""
        subject: Scorable | None = None
        for name, given in scorers.items():
            try:
                entry = ScorerEntry.of(given, name)
                if entry.filter is not None and not entry.filter(subject := subject or make()):
                    continue
                if entry.rate < 1 and not is_sampled(entry.rate, key):
                    continue
                subject = subject or make()
                self._begin(self._scorer(entry.scorer), subject)
            except Exception as error:  # noqa: BLE001 - what ended must not fail for its scores
                self._failed(name, error)

    def _scorer(self, given: Any) -> Scorer:
        if isinstance(given, str):
            given = cast("Any", self._services).get_scorer_by_id(given)
        if not isinstance(given, Scorer):
            raise ConfigError(f"{given!r} is no scorer: make one with create_scorer(…).")
        return given if given.mastra is not None else given.bound_to(self._services)

    def _begin(self, scorer: Scorer, subject: Scorable) -> None:
        if len(self._tasks) >= MAX_WAITING:
            self.left_out += 1
            if self.left_out == 1:
                self._logger.warning(
                    "%d scorings wait; further ones are left out until there is room. Lower the "
                    "rate of their sample.",
                    MAX_WAITING,
                )
            return
        loop = asyncio.get_running_loop()
        # A judge must not count against the limits of the run that has ended, nor be part of it.
        task = loop.create_task(
            self._score(scorer, subject),
            name=f"score {scorer.id}",
            context=contextvars.Context(),
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _score(self, scorer: Scorer, subject: Scorable) -> None:
        limit = self._limits.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
        async with limit:
            try:
                output = subject.output
                if scorer.type == "trajectory" and subject.entity_type == "AGENT":
                    output = extract_trajectory(output)
                result = await scorer.run(
                    input=subject.input,
                    output=output,
                    request_context=subject.request_context,
                    run_id=subject.run_id,
                )
                await self._keep(scorer, subject, result)
            except Exception as error:  # noqa: BLE001 - a scorer is the user's, and may raise anything
                self._failed(scorer.id, error)

    async def _keep(self, scorer: Scorer, subject: Scorable, result: ScorerResult) -> None:
        if result.score is None:
            return  # a stage said that it cannot be scored
        record = ScoreRecord.of_live(scorer, subject, result)
        await self._services.storage.evals.save([record.to_stored()])
        emit_evaluation(scorer.id, result.score, result.reason, subject.trace, subject.run_id)

    def _failed(self, name: str, error: BaseException) -> None:
        code = error.code if isinstance(error, MastraError) else type(error).__name__
        self._logger.warning("Scorer %r gave no score (%s): %s", name, code, text_of(error))

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait until what was offered in this event loop is scored.

        Args:
            timeout_s: For how long at most; what is not done by then is given up.
        """
        loop = asyncio.get_running_loop()
        mine = [task for task in self._tasks if task.get_loop() is loop]
        if not mine:
            return
        _, late = await asyncio.wait(mine, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            self._logger.warning("%d scorings were given up: they took too long.", len(late))
            await asyncio.wait(late)
