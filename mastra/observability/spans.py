"""A span: one piece of work with a beginning, an end and a place in a trace.

Ids are those of OpenTelemetry where that is set up, so that what Studio shows and what a tracing
backend shows are the same trace.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol, TypeAlias

from mastra.failures import name_of, text_of
from mastra.jsonable import Json

__all__ = ["Mirror", "Sink", "Span", "SpanKind", "SpanRef", "Tracer", "apart", "current_span"]

SpanKind: TypeAlias = Literal[
    "workflow_run", "workflow_step", "agent_run", "model_generation", "tool_call"
]
"""Mastra's names for what a span is of."""

_current: ContextVar[Span | None] = ContextVar("mastra_span", default=None)


def current_span() -> Span | None:
    """Return the span of the step or tool that runs here, if there is one."""
    return _current.get()


@contextmanager
def apart() -> Generator[None]:
    """Let what begins in its body be the beginning of traces of its own."""
    token = _current.set(None)
    other: Any = sys.modules.get("opentelemetry.context")
    outer = None if other is None else other.attach(other.Context())
    try:
        yield
    finally:
        if other is not None:
            other.detach(outer)
        _current.reset(token)


class SpanRef:
    """A span of this process or of another, as something to be a child of."""

    __slots__ = ("span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str) -> None:
        self.trace_id = trace_id
        """32 hexadecimal digits."""
        self.span_id = span_id
        """16 hexadecimal digits."""

    @classmethod
    def of(cls, stored: Mapping[str, Json] | None) -> SpanRef | None:
        """Return what `to_stored` gave, or `None`."""
        if not stored or not stored.get("traceId") or not stored.get("spanId"):
            return None
        return cls(str(stored["traceId"]), str(stored["spanId"]))

    def to_stored(self) -> dict[str, Json]:
        """Return it as JSON data."""
        return {"traceId": self.trace_id, "spanId": self.span_id}


class Span(SpanRef):
    """One piece of work. Made by a `Tracer`, which gets it back when it ends."""

    __slots__ = (
        "attributes",
        "cost_usd",
        "ended_ms",
        "entity_id",
        "entity_name",
        "error",
        "facts",
        "input",
        "kind",
        "mirror",
        "name",
        "output",
        "parent_id",
        "started_ms",
        "tracer",
    )

    def __init__(
        self,
        tracer: Tracer,
        kind: SpanKind,
        name: str,
        parent: SpanRef | None,
        attributes: dict[str, Json],
    ) -> None:
        self.tracer = tracer
        self.kind: SpanKind = kind
        self.name = name
        self.attributes = attributes
        """By OpenTelemetry's names."""
        self.parent_id = None if parent is None else parent.span_id
        self.started_ms = time.time() * 1000
        self.ended_ms: float | None = None
        self.entity_id = ""
        """The workflow, step, agent, model or tool it is of."""
        self.entity_name = ""
        self.facts: dict[str, Json] = {}
        """Run, thread and resource."""
        self.input: Json = None
        self.output: Json = None
        self.error: dict[str, Json] | None = None
        self.cost_usd: Callable[[], tuple[float, float] | None] | None = None
        """Works out what the tokens given and received cost: later, since a price list is slow."""
        self.mirror: Any = None
        """OpenTelemetry's span, where there is one."""
        trace_id = os.urandom(16).hex() if parent is None else parent.trace_id
        super().__init__(trace_id, os.urandom(8).hex())

    def set(self, name: str, value: Json) -> None:
        """Add an attribute; `None` adds nothing."""
        if value is None:
            return
        self.attributes[name] = value
        if self.mirror is not None:
            self.mirror.set_attribute(name, value)

    def fail(self, error: BaseException | Mapping[str, Json]) -> None:
        """Note that the work failed."""
        if isinstance(error, BaseException):
            self.error = {"message": text_of(error), "name": name_of(error)}
        else:
            self.error = dict(error)
        self.set("error.type", str(self.error.get("name") or "Error"))

    def end(self) -> None:
        """End the span. Ending it again changes nothing."""
        if self.ended_ms is not None:
            return
        self.ended_ms = time.time() * 1000
        self.tracer.finish(self)

    @contextmanager
    def active(self) -> Generator[Span]:
        """Make this the span that others begin under, while the block lasts; it ends if that fails."""
        token = _current.set(self)
        other = None if self.mirror is None else self.tracer.mirror
        outer = None if other is None else other.enter(self)
        try:
            yield self
        except BaseException as error:
            self.fail(error)
            self.end()
            raise
        finally:
            if other is not None:
                other.leave(outer)
            _current.reset(token)


class Sink(Protocol):
    """Keeps spans that have ended."""

    def add(self, span: Span, /) -> None:
        """Keep a span."""
        ...


class Mirror(Protocol):
    """Another tracing system that sees the same spans."""

    def start(self, span: Span, parent: SpanRef | None) -> None:
        """Begin its own span and take its ids over."""
        ...

    def end(self, span: Span) -> None:
        """End its own span."""
        ...

    def enter(self, span: Span) -> Any:
        """Make its own span current; return what `leave` needs."""
        ...

    def leave(self, token: Any) -> None:
        """Undo `enter`."""
        ...


class Tracer:
    """Begins spans, and hands those that end to whoever keeps them."""

    __slots__ = ("captures_content", "mirror", "sink")

    def __init__(
        self, sink: Sink | None, mirror: Mirror | None, *, captures_content: bool = False
    ) -> None:
        self.sink = sink
        self.mirror = mirror
        self.captures_content = captures_content
        """Whether inputs, outputs, prompts and answers are kept."""

    def start(
        self,
        kind: SpanKind,
        name: str,
        *,
        parent: SpanRef | None = None,
        attributes: Mapping[str, Json] | None = None,
        entity: tuple[str, str] = ("", ""),
    ) -> Span:
        """Begin a span, under the given one or else the current one.

        Args:
            kind: What it is of.
            name: Its name.
            parent: What it is part of.
            attributes: By OpenTelemetry's names; those that are `None` are left out.
            entity: Id and name of what it is of.
        """
        above = parent or _current.get()
        known = {key: value for key, value in (attributes or {}).items() if value is not None}
        span = Span(self, kind, name, above, known)
        span.entity_id, span.entity_name = entity
        if self.mirror is not None:
            self.mirror.start(span, above)
        return span

    def finish(self, span: Span) -> None:
        """Take back a span that has ended."""
        if self.mirror is not None and span.mirror is not None:
            self.mirror.end(span)
        if self.sink is not None:
            self.sink.add(span)
