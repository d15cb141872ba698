"""What requests carry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from mastra.given import ID_PATTERN, MAX_ID
from mastra.wire import WireModel

__all__ = [
    "AgentAnswerBody",
    "AgentBody",
    "AgentResumeBody",
    "AggregateBody",
    "BreakdownBody",
    "CreateRunBody",
    "DeleteMessagesBody",
    "Filters",
    "GivenMessage",
    "Identifier",
    "LogLevel",
    "LogQuery",
    "MetricBody",
    "Moment",
    "NotesBody",
    "PercentilesBody",
    "RestartBody",
    "ResumeBody",
    "SaveMessagesBody",
    "SeriesBody",
    "StartBody",
    "ThreadBody",
    "ThreadChangesBody",
    "TimeTravelBody",
    "ToolBody",
    "TraceFieldsBody",
    "TraceOrder",
    "TraceQueryBody",
    "TraceValuesBody",
]

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=ID_PATTERN)]
"""An id: text without control characters."""


def _moment(given: datetime) -> datetime:
    moment = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    # Others could not be written as milliseconds and read again on every database.
    if not 1970 <= moment.year < 9999:
        raise ValueError("a time from 1970 to 9998 is needed")
    return moment


Moment = Annotated[datetime, AfterValidator(_moment)]
"""A time; one without a zone is UTC."""


class RequestBody(WireModel):
    """What every body may carry."""

    request_context: dict[str, Any] | None = None
    """Values for steps, tools and agents."""


class CreateRunBody(WireModel):
    """Of `create-run`."""

    resource_id: Identifier | None = None
    """Whose run it is."""


class StartBody(RequestBody):
    """Of `start`, `start-async` and `stream`."""

    input_data: Any = None
    """The workflow's input."""
    initial_state: Any = None
    """The workflow's state."""
    resource_id: Identifier | None = None
    """Whose run it is."""
    per_step: bool = False
    """Run one entry only."""
    close_on_suspend: bool = True
    """Whether a stream ends where its run suspends, or goes on when that is resumed."""
    tracing_options: dict[str, Any] | None = None
    """Accepted for Mastra's clients."""


class ResumeBody(RequestBody):
    """Of the routes that resume."""

    step: Identifier | Annotated[list[Identifier], Field(min_length=1)] | None = None
    """Which suspended step."""
    resume_data: Any = None
    """What it is given."""
    label: str | None = None
    """Which, by the label it suspended with."""
    for_each_index: int | None = Field(default=None, ge=0, le=2**31)
    """Which item of a foreach."""
    per_step: bool = False
    """Run one entry only."""


class RestartBody(RequestBody):
    """Of the routes that restart."""


class TimeTravelBody(RequestBody):
    """Of the routes that go back in time."""

    step: Identifier | Annotated[list[Identifier], Field(min_length=1)]
    """Which step to begin at."""
    input_data: Any = None
    """Its input; left out, what the step before it gave."""
    resume_data: Any = None
    """What it is given as if it were resumed."""
    initial_state: Any = None
    """In place of the run's state."""
    context: dict[str, Any] | None = None
    """Results of steps before it, by id."""
    nested_steps_context: dict[str, Any] | None = None
    """The same of nested workflows."""
    per_step: bool = False
    """Run one entry only."""


class ToolBody(RequestBody):
    """Of the routes that run a tool."""

    data: Any = None
    """The tool's input."""


class ResourceBody(WireModel):
    """Of the route that reads a resource of an MCP server."""

    uri: str = Field(min_length=1, max_length=4096)
    """Its address."""


class AgentBody(RequestBody):
    """Of the routes that ask an agent."""

    messages: str | list[Any] | dict[str, Any]
    """What is said: text, or messages."""
    run_id: Identifier | None = None
    instructions: Any = None
    system: Any = None
    context: list[Any] | None = None
    memory: dict[str, Any] | None = None
    max_steps: int | None = Field(default=None, ge=1, le=1000)
    limits: dict[str, Any] | None = None
    tool_choice: Any = None
    active_tools: list[str] | None = None
    client_tools: dict[str, Any] | None = None
    model: Any = None
    model_settings: dict[str, Any] | None = None
    provider_options: dict[str, Any] | None = None
    structured_output: dict[str, Any] | None = None
    require_tool_approval: bool | None = None
    tool_call_concurrency: int | None = Field(default=None, ge=1, le=1000)
    auto_resume_suspended_tools: bool | None = None
    include_raw_chunks: bool | None = None
    thread_id: Identifier | None = None
    resource_id: Identifier | None = None


class AgentAnswerBody(RequestBody):
    """Of the routes that answer a tool call which waits for approval."""

    run_id: Identifier
    """The run that waits."""
    tool_call_id: Identifier | None = None
    """Which call, where several wait."""
    reason: str | None = None
    """Why not."""
    memory: dict[str, Any] | None = None
    max_steps: int | None = Field(default=None, ge=1, le=1000)
    model_settings: dict[str, Any] | None = None
    require_tool_approval: bool | None = None


class AgentObserveBody(RequestBody):
    """Of the route that reads a run from a chunk on."""

    run_id: Identifier
    """The run."""
    offset: Annotated[int, Field(ge=0, le=10**15)] = 0
    """The first chunk, from 0: how many of them are known."""


class AgentResumeBody(AgentAnswerBody):
    """Of the route that resumes a tool which suspended."""

    resume_data: Any = None
    """What the tool waits for."""


class TracePage(WireModel):
    """Which traces of those there are."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many; 25 where it is left out."""
    after: str | None = None
    """From the page before."""


class TraceOrder(WireModel):
    """In which order traces are listed."""

    field: str = "startedAt"
    """`startedAt` or `endedAt`."""
    direction: str = "desc"
    """`asc` or `desc`."""


class TraceQueryBody(WireModel):
    """Of the query for traces."""

    page: TracePage = Field(default_factory=TracePage)
    """Which of them."""
    time_range: dict[str, Any] | None = None
    """`from` and `to`: when a trace began."""
    where: dict[str, Any] | None = None
    """A predicate: `{"op": "eq", "left": {"path": …}, "right": {"literal": …}}` and the like."""
    order_by: list[TraceOrder] | None = None
    """The first of them; left out, the latest is first."""


class TraceFieldsBody(WireModel):
    """Of the question what traces may be searched by."""

    predicate_scope: Literal["trace", "spans", "scores", "feedback"] = "trace"
    """Whose fields: the trace's, or those of what belongs to it."""


class TraceValuesBody(TraceFieldsBody):
    """Of the question which values a field has."""

    path: str
    """The field."""
    search: str | None = None
    """What a value has to contain."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many values at most."""


Interval = Literal["1m", "5m", "15m", "1h", "1d"]
"""How long a bucket of a series is."""
Period = Literal["previous_period", "previous_day", "previous_week"]
"""What a value is compared with."""


_MOST_VALUES = 1000


def _moderate(filters: dict[str, Any]) -> dict[str, Any]:
    # Each is looked for in every value there is.
    for name, wanted in filters.items():
        if isinstance(wanted, list) and len(wanted) > _MOST_VALUES:  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(f"{name[:60]!r} has more than {_MOST_VALUES} values")
    return filters


Filters = Annotated[dict[str, Any], Field(max_length=100), AfterValidator(_moderate)]
"""What dimensions are: a value, or a list of those that will do."""


class ManyBody(WireModel):
    """Of every question after one value for many."""

    filters: Filters = Field(default_factory=dict[str, Any])
    """`timestamp` with `start` and `end`, `traceIds`, and dimensions such as `entityName`."""
    aggregation: Literal["sum", "avg", "min", "max", "count", "last", "count_distinct"] = "sum"
    """How many values become one."""
    distinct_column: str | None = None
    """What `count_distinct` counts."""


class MetricBody(ManyBody):
    """Of every question after metrics that are put together from many values."""

    name: list[str] = Field(default_factory=list[str], max_length=_MOST_VALUES)
    """Which metrics, such as `mastra_agent_duration_ms`."""


class AggregateBody(MetricBody):
    """Of one value of a metric."""

    compare_period: Period | None = None
    """What to compare it with."""


class BreakdownBody(MetricBody):
    """Of the values of a metric by dimensions."""

    group_by: list[str] = Field(default_factory=list[str], max_length=20)
    """Which dimensions."""
    order: Literal["ASC", "DESC"] = Field("DESC", alias="orderDirection")
    limit: Annotated[int, Field(ge=1)] | None = None


class SeriesBody(MetricBody):
    """Of the values of a metric over time."""

    interval: Interval = "1h"
    group_by: list[str] = Field(default_factory=list[str], max_length=20)


class PercentilesBody(WireModel):
    """Of the percentiles of a metric over time."""

    name: str
    percentiles: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=100)]
    interval: Interval = "1h"
    filters: Filters = Field(default_factory=dict[str, Any])


LogLevel = Literal["debug", "info", "warn", "error", "fatal", "silent"]
"""A level as clients name it."""


class LogQuery(WireModel):
    """What may be asked of a logger's transport."""

    page: Annotated[int, Field(ge=1, le=10**6)] = 1
    per_page: Annotated[int, Field(ge=1, le=1000)] = 100
    log_level: LogLevel | None = None
    transport_id: Identifier | None = None
    """Where the records are kept; only `memory` has any."""
    from_date: str | None = None
    to_date: str | None = None


class ThreadBody(WireModel):
    """Of a thread that is made."""

    thread_id: Identifier | None = None
    """Its id; left out, a new one."""
    resource_id: Identifier | None = None
    """Whose it is."""
    agent_id: Identifier | None = None
    """Whose memory it is kept in, where the query does not say."""
    title: str | None = None
    """What it is called."""
    metadata: dict[str, Any] | None = None
    """Facts of the application's."""


class MessageFilterBody(WireModel):
    """Which messages of a thread are copied; all where nothing is said."""

    start_date: Moment | None = None
    """Those of then and later."""
    end_date: Moment | None = None
    """Those of then and earlier."""
    message_ids: list[Identifier] | None = None
    """These."""


class CloneOptionsBody(WireModel):
    """How much of a thread is copied."""

    message_limit: Annotated[int, Field(ge=0)] | None = None
    """The latest messages, so many; 0 is as if nothing were said."""
    message_filter: MessageFilterBody | None = None


class CloneThreadBody(WireModel):
    """Of a thread that is copied."""

    new_thread_id: Identifier | None = None
    """The copy's id; left out, a new one."""
    resource_id: Identifier | None = None
    """Whose the copy is; left out, whose the thread is."""
    title: str | None = None
    """What the copy is called."""
    metadata: dict[str, Any] | None = None
    """Facts of the application's for the copy."""
    options: CloneOptionsBody | None = None


class ThreadChangesBody(WireModel):
    """Of a thread that is changed."""

    title: str | None = None
    """What it is called."""
    metadata: dict[str, Any] | None = None
    """In place of what it has."""
    resource_id: Identifier | None = None
    """Whose it has to be."""


class GivenMessage(WireModel):
    """A message to store."""

    id: Identifier | None = None
    role: Literal["user", "assistant", "system", "tool"]
    thread_id: Identifier
    created_at: Moment | None = None
    content: str | list[Any] | dict[str, Any] | None = None
    """Text, parts, or the stored form."""
    parts: list[Any] | None = None
    """As pages have them; they count where both are there."""
    metadata: dict[str, Any] | None = None
    experimental_attachments: list[Any] | None = None

    def said(self) -> dict[str, Any]:
        """Return what it says, without where and when."""
        told = self.model_dump(exclude={"id", "thread_id", "created_at"}, by_alias=False)
        return {key: value for key, value in told.items() if value is not None}


class SaveMessagesBody(WireModel):
    """Of the route that stores messages."""

    messages: list[GivenMessage]
    """What to store."""
    agent_id: Identifier | None = None
    """In whose memory, where the query does not say."""


class NamedMessage(WireModel):
    """A message, of which only the id counts."""

    id: Identifier
    """Its id."""


class DeleteMessagesBody(WireModel):
    """Of the route that deletes messages."""

    message_ids: Identifier | NamedMessage | list[Identifier | NamedMessage]
    """Which: ids, or messages that have one."""

    @property
    def ids(self) -> list[str]:
        """The ids alone."""
        given = self.message_ids if isinstance(self.message_ids, list) else [self.message_ids]
        return [one if isinstance(one, str) else one.id for one in given]


class NotesBody(WireModel):
    """Of an agent's notes."""

    working_memory: str
    """The notes: text, or JSON where they have a schema."""
    resource_id: Identifier | None = None
    """Whose the thread has to be."""
