"""What is traced, and where spans go."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from mastra.observability.otel import OpenTelemetryMirror, configured_provider
from mastra.observability.records import LogCollector, LogStore
from mastra.observability.spans import Tracer
from mastra.observability.store import TraceStore

__all__ = ["Observability", "collecting_logs", "tracer_of"]


class Observability:
    """Where spans go, and what they hold. Give it to `Mastra(observability=...)`.

    Args:
        capture_content: Whether spans hold inputs, outputs, prompts and answers. They may be
            personal data, so they are left out unless this says otherwise.
        traces: Keeps the latest traces for Studio; `None` keeps none.
        tracer_provider: OpenTelemetry's; left out, the one that the process has set up.
        max_traces: How many traces are kept where `traces` is left out.
        logs: Keeps the latest log records for Studio while a server runs; `None` keeps none.
    """

    def __init__(
        self,
        *,
        capture_content: bool = False,
        traces: TraceStore | bool | None = True,
        tracer_provider: Any = None,
        max_traces: int = 500,
        logs: LogStore | bool | None = True,
    ) -> None:
        self.capture_content = capture_content
        self.traces = traces if isinstance(traces, TraceStore) else None
        """The traces that are kept, or `None`."""
        if traces is True:
            self.traces = TraceStore(max_traces=max_traces)
        self.logs = logs if isinstance(logs, LogStore) else None
        """The log records that are kept, or `None`."""
        if logs is True:
            self.logs = LogStore()
        self._provider = tracer_provider
        self._tracer: Tracer | None = None
        self._seen: Any = None

    @property
    def tracer(self) -> Tracer | None:
        """What begins spans; `None` where they would go nowhere."""
        provider = self._provider or configured_provider()
        if self._tracer is None or provider is not self._seen:
            self._seen = provider
            if provider is None and self.traces is None:
                return None
            mirror = None if provider is None else OpenTelemetryMirror(provider)
            self._tracer = Tracer(self.traces, mirror, captures_content=self.capture_content)
        return self._tracer


_default = Observability(traces=None, logs=None)


@contextmanager
def collecting_logs(
    observability: Any, logger: logging.Logger | logging.LoggerAdapter[Any]
) -> Generator[None]:
    """Keep what is logged while the block lasts, if the application wants that.

    Args:
        observability: The application's `Observability`, or `None`.
        logger: The application's logger; what the framework itself logs is kept as well.
    """
    store: Any = getattr(observability, "logs", None)
    if not isinstance(store, LogStore):
        yield
        return
    collector = LogCollector(store, observability.tracer)
    own: Any = getattr(logger, "logger", logger)
    found = {id(item): item for item in (own, logging.getLogger("mastra"))}
    for item in found.values():
        item.addHandler(collector)
    try:
        yield
    finally:
        for item in found.values():
            item.removeHandler(collector)


def tracer_of(services: Any) -> Tracer | None:
    """Return what begins spans for an application, or `None` where nobody traces."""
    chosen: Any = getattr(services, "observability", None)
    if isinstance(chosen, Observability):
        return chosen.tracer
    return _default.tracer
