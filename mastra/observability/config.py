"""What is traced, and where spans go."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

from mastra.errors import ConfigError
from mastra.given import FLAG, SECONDS, check_given, having
from mastra.observability.buffer import TelemetryBuffer
from mastra.observability.logs import LogCollector
from mastra.observability.otel import OpenTelemetryMirror, configured_provider
from mastra.observability.spans import Tracer

__all__ = ["Observability", "chosen_tracer", "collecting_logs"]

_FORMS: Final = {
    "capture_content": FLAG,
    "traces": FLAG,
    "logs": FLAG,
    "retention_s": SECONDS,
    "tracer_provider": having("OpenTelemetry's tracer provider", "get_tracer"),
}


class Observability:
    """What is traced and logged, and for how long it is kept. Give it to `Mastra(observability=…)`.

    What is kept is in the application's storage, where Studio reads it: spans, log records, and the
    metrics that are counted from spans.

    Args:
        capture_content: Whether spans hold inputs, outputs, prompts and answers. They may be
            personal data, so they are left out unless this says otherwise.
        traces: Whether spans are kept.
        logs: Whether log records are kept, while a server runs.
        retention_s: For how long both are kept, in seconds: a week. A trace is kept whole, from its
            last span on. `None` keeps them for ever.
        tracer_provider: OpenTelemetry's; left out, the one that the process has set up.

    Raises:
        ConfigError: `retention_s` is not above 0, or an option is of another kind.
    """

    def __init__(
        self,
        *,
        capture_content: bool = False,
        traces: bool = True,
        logs: bool = True,
        retention_s: float | None = 7 * 86_400.0,
        tracer_provider: Any = None,
    ) -> None:
        check_given("Observability", locals(), _FORMS)
        if retention_s is not None and not retention_s > 0:
            raise ConfigError(
                f"retention_s is {retention_s}. Use a number of seconds above 0, or None to keep "
                "traces and logs for ever."
            )
        self.capture_content = capture_content
        self.traces = traces
        self.logs = logs
        self.retention_s = retention_s
        self._provider = tracer_provider
        self._buffer: TelemetryBuffer | None = None
        self._bound: WeakSet[Observability] = WeakSet()
        self._tracer: Tracer | None = None
        self._seen: Any = None

    def kept_in(self, storage: Any) -> Observability:
        """Return a copy for an application with this storage."""
        bound = copy.copy(self)
        bound._bound = WeakSet()  # noqa: SLF001
        self._bound.add(bound)
        bound._buffer = TelemetryBuffer(storage, retention_s=self.retention_s)  # noqa: SLF001
        return bound

    async def flush(self) -> None:
        """Have stored what has ended so far; otherwise that takes about a second.

        Of what was given to several applications, the spans and records of all of them.
        """
        if self._buffer is not None:
            await self._buffer.flush()
        for bound in list(self._bound):
            await bound.flush()

    async def aclose(self) -> None:
        """Store what has ended, and end what would store more."""
        if self._buffer is not None:
            await self._buffer.aclose()

    @property
    def tracer(self) -> Tracer | None:
        """What begins spans; `None` where they would go nowhere."""
        provider = self._provider or configured_provider()
        sink = self._buffer if self.traces else None
        if provider is None and sink is None:
            self._tracer = None
            return None
        if self._tracer is None or (provider, sink) != self._seen:
            self._seen = (provider, sink)
            mirror = None if provider is None else OpenTelemetryMirror(provider)
            self._tracer = Tracer(sink, mirror, captures_content=self.capture_content)
        return self._tracer

    def collector(self) -> LogCollector | None:
        """Return a handler that keeps what is logged; `None` where nothing is to be kept."""
        if self._buffer is None or not self.logs:
            return None
        return LogCollector(self._buffer.add, self.tracer)


_default = Observability(traces=False, logs=False)


@contextmanager
def collecting_logs(
    observability: Any, logger: logging.Logger | logging.LoggerAdapter[Any]
) -> Generator[None]:
    """Keep what is logged while the block lasts, if the application wants that.

    Args:
        observability: The application's `Observability`, or `None`.
        logger: The application's logger; what the framework itself logs is kept as well.
    """
    collector = observability.collector() if isinstance(observability, Observability) else None
    if collector is None:
        yield
        return
    own: Any = getattr(logger, "logger", logger)
    found = {id(item): item for item in (own, logging.getLogger("mastra"))}
    for item in found.values():
        item.addHandler(collector)
    try:
        yield
    finally:
        for item in found.values():
            item.removeHandler(collector)


def chosen_tracer(chosen: Any) -> Tracer | None:
    """Return what begins spans as an application has chosen, or as the process is set up."""
    if isinstance(chosen, Observability):
        return chosen.tracer
    return None if configured_provider() is None else _default.tracer
