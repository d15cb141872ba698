"""Spans and log records as they are stored: what is looked for by itself, and the rest as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final

from mastra.dataclass import dataclass
from mastra.errors import SerializationError
from mastra.failures import error_to_json
from mastra.jsonable import Json, dump_json
from mastra.observability.spans import Span, SpanKind

__all__ = ["ENTITIES", "LogRecord", "SpanRecord", "kinds_of_entity", "known_text", "plain_text"]

ENTITIES: Final[Mapping[SpanKind, str]] = {
    "workflow_run": "workflow_run",
    "workflow_step": "workflow_step",
    "agent_run": "agent",
    "model_generation": "agent",
    "tool_call": "tool",
}
"""What a span is of, by its kind."""


def kinds_of_entity(entity: str | None, kind: str | None = None) -> tuple[SpanKind, ...]:
    """Return the kinds of spans of an entity, and of one kind; `None` for any."""
    return tuple(
        one for one, of in ENTITIES.items() if entity in (None, of) and kind in (None, one)
    )


def plain_text(text: str) -> str:
    """Return a text that every store takes: what is no Unicode in it, and NUL, is replaced."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def known_text(value: Json) -> str | None:
    """Return an id or a name as text that every store takes, where there is one."""
    return None if value is None else plain_text(str(value))


def _count(value: Json) -> int | None:
    # A provider may say anything, and no store takes more than 64 bits.
    return value if isinstance(value, int) and abs(value) < 2**63 else None


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span that has ended. Times in milliseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str | None
    kind: SpanKind
    name: str
    started_ms: float
    ended_ms: float
    entity_id: str = ""
    entity_name: str = ""
    run_id: str | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    is_failed: bool = False
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_cost_usd: float | None = None
    """What the tokens cost, in US dollars; `None` where no price is known."""
    output_cost_usd: float | None = None
    attributes: dict[str, Json] = field(default_factory=dict[str, Any])
    """By OpenTelemetry's names; like what follows, left out where only figures are asked for."""
    input: Json = None
    output: Json = None
    error: dict[str, Json] | None = None

    @classmethod
    def of(cls, span: Span) -> SpanRecord:
        """Return a span as it is to be stored. Of a model's call this looks for its price."""
        attributes, facts = span.attributes, span.facts
        cost = None if span.cost_usd is None else span.cost_usd()
        return cls(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            kind=span.kind,
            name=plain_text(span.name),
            started_ms=span.started_ms,
            ended_ms=span.started_ms if span.ended_ms is None else span.ended_ms,
            entity_id=plain_text(span.entity_id),
            entity_name=plain_text(span.entity_name),
            run_id=known_text(facts.get("runId")),
            thread_id=known_text(facts.get("threadId")),
            resource_id=known_text(facts.get("resourceId")),
            is_failed=span.error is not None,
            model=known_text(attributes.get("gen_ai.request.model")),
            provider=known_text(attributes.get("gen_ai.provider.name")),
            input_tokens=_count(attributes.get("gen_ai.usage.input_tokens")),
            output_tokens=_count(attributes.get("gen_ai.usage.output_tokens")),
            input_cost_usd=None if cost is None else cost[0],
            output_cost_usd=None if cost is None else cost[1],
            attributes=attributes,
            input=span.input,
            output=span.output,
            error=span.error,
        )

    def content(self) -> bytes:
        """Return the rest as JSON. What cannot be JSON is no reason to lose the span."""
        what = f"Span {self.name!r}"
        kept = (self.attributes, self.input, self.output, self.error)
        try:
            return dump_json(dict(zip(CONTENT, kept, strict=True)), what=what)
        except SerializationError as error:
            return dump_json({"error": error_to_json(error)}, what=what)

    def with_content(self, data: dict[str, Json]) -> SpanRecord:
        """Return the span with what `content` gave, which was read."""
        return replace(
            self,
            attributes=data.get("attributes") or {},
            input=data.get("input"),
            output=data.get("output"),
            error=data.get("error"),
        )


CONTENT: Final = ("attributes", "input", "output", "error")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record that was logged. The time is in milliseconds since 1970."""

    id: str
    time_ms: float
    level: str
    """`debug`, `info`, `warn`, `error` or `fatal`."""
    logger: str
    message: str
    run_id: str | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    """The span that it was logged in, and what that is of:"""
    kind: SpanKind | None = None
    entity_id: str | None = None
    entity_name: str | None = None
    data: dict[str, Json] = field(default_factory=dict[str, Any])
    """What the logger knew beside the ids, such as workflow, step and attempt."""
    process: dict[str, Json] = field(default_factory=dict[str, Any])
    """`pid` and `hostname`."""

    def content(self) -> bytes:
        """Return data and process as JSON."""
        what = f"Log record {self.message!r}"
        try:
            return dump_json({"data": self.data, "process": self.process}, what=what)
        except SerializationError as error:
            data = {"error": error_to_json(error)}
            return dump_json({"data": data, "process": self.process}, what=what)

    def with_content(self, found: dict[str, Json]) -> LogRecord:
        """Return the record with what `content` gave, which was read."""
        return replace(self, data=found.get("data") or {}, process=found.get("process") or {})
