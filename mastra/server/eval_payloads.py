"""What requests about scores, datasets, experiments and feedback carry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mastra.jsonable import Json
from mastra.server.payloads import Identifier, Moment, RequestBody
from mastra.wire import WireModel

__all__ = [
    "CompareBody",
    "DatasetBody",
    "DatasetChangesBody",
    "ExperimentBody",
    "ExperimentChangesBody",
    "FailuresBody",
    "FeedbackBody",
    "FeedbackIdsBody",
    "ItemBody",
    "ItemIdsBody",
    "ItemsBody",
    "ResultBody",
    "ResultChangesBody",
    "ReviewStatusBody",
    "RunItemBody",
    "ScoreBody",
    "ScoreIdsBody",
    "SignalScoreBody",
    "SuggestionsBody",
    "TracesBody",
]

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
Object = dict[str, Any]
TargetType = Literal["agent", "workflow", "scorer", "processor"]
Status = Literal["needs-review", "reviewed", "complete"]


class GivenScore(WireModel):
    """A score that somebody else gave."""

    id: Identifier | None = None
    scorer_id: Identifier
    score: float = Field(allow_inf_nan=False)
    reason: str | None = None
    run_id: Identifier | None = None
    entity_id: Identifier | None = None
    entity_type: Identifier | None = None
    entity: Object | None = None
    scorer: Object | None = None
    source: Literal["LIVE", "TEST"] = "LIVE"
    input: Any = None
    output: Any = None
    metadata: Object | None = None
    additional_context: Object | None = None
    trace_id: Identifier | None = None
    span_id: Identifier | None = None
    thread_id: Identifier | None = None
    preprocess_step_result: Any = None
    analyze_step_result: Any = None
    preprocess_prompt: str | None = None
    analyze_prompt: str | None = None
    generate_score_prompt: str | None = None
    generate_reason_prompt: str | None = None
    dataset_id: Identifier | None = None
    dataset_item_id: Identifier | None = None


class ScoreBody(WireModel):
    """Of the route that stores a score."""

    score: GivenScore


class GivenSignalScore(WireModel):
    """A score of a trace that somebody else gave."""

    score_id: Identifier | None = None
    scorer_id: Identifier
    scorer_name: str | None = None
    score_source: str | None = None
    score: float = Field(allow_inf_nan=False)
    reason: str | None = None
    trace_id: Identifier | None = None
    span_id: Identifier | None = None
    run_id: Identifier | None = None
    thread_id: Identifier | None = None
    entity_id: Identifier | None = None
    entity_type: Identifier | None = None
    entity_name: str | None = None
    metadata: Object | None = None


class SignalScoreBody(WireModel):
    """Of the route that stores a score of a trace."""

    score: GivenSignalScore


class ScoreIdsBody(WireModel):
    """Of the route that deletes scores."""

    score_ids: list[Identifier] = Field(max_length=1000)


class DatasetBody(WireModel):
    """Of a dataset to be made."""

    name: Text
    description: str | None = None
    metadata: Object | None = None
    input_schema: Object | None = None
    ground_truth_schema: Object | None = None
    request_context_schema: Object | None = None
    target_type: TargetType | None = None
    target_ids: list[Identifier] | None = None
    scorer_ids: list[Identifier] | None = None


class DatasetChangesBody(WireModel):
    """Of what is to change of a dataset."""

    name: Text | None = None
    description: str | None = None
    metadata: Object | None = None
    input_schema: Object | None = None
    ground_truth_schema: Object | None = None
    request_context_schema: Object | None = None
    tags: list[Text] | None = None
    target_type: TargetType | None = None
    target_ids: list[Identifier] | None = None
    scorer_ids: list[Identifier] | None = None


class ItemBody(WireModel):
    """Of an item of a dataset."""

    external_id: Identifier | None = None
    input: Any = None
    ground_truth: Any = None
    expected_trajectory: Object | None = None
    request_context: Object | None = None
    metadata: Object | None = None
    source: Object | None = None
    scorer_ids: list[Identifier] | None = None
    tool_mocks: list[Object] | None = None
    unmocked_tool_policy: Literal["allow", "deny"] | None = None


class ItemsBody(WireModel):
    """Of several."""

    items: list[ItemBody] = Field(min_length=1, max_length=10_000)


class ItemIdsBody(WireModel):
    """Of several that are there."""

    item_ids: list[Identifier] = Field(max_length=10_000)


class Grouping(WireModel):
    """How experiments belong together."""

    experiment_set_id: Identifier | None = None
    comparison_id: Identifier | None = None
    variant_id: Identifier | None = None
    trial_index: int | None = Field(default=None, ge=0, le=10**6)


class ExperimentBody(RequestBody):
    """Of an experiment."""

    start: bool = True
    """Whether it runs here; else its results are sent by whoever runs it."""
    id: Identifier | None = None
    target_type: Literal["agent", "workflow", "scorer"] | None = None
    target_id: Identifier | None = None
    name: Text | None = None
    description: str | None = None
    metadata: Object | None = None
    scorer_ids: list[Identifier] | None = None
    version: int | None = Field(default=None, ge=0, le=2**31)
    agent_version: str | None = None
    max_concurrency: int = Field(default=5, ge=1, le=50)
    provenance: Object | None = None
    grouping: Grouping | None = None


class ExperimentChangesBody(WireModel):
    """Of what is to change of an experiment."""

    name: Text | None = None
    description: str | None = None
    metadata: Object | None = None


class RunItemBody(RequestBody):
    """Of one item that is to be run."""

    attempt: int = Field(default=0, ge=0, le=10**6)


class SentScore(WireModel):
    """A score beside a result that is sent."""

    scorer_id: Identifier
    scorer_name: str | None = None
    score: float = Field(allow_inf_nan=False)
    reason: str | None = None
    metadata: Object | None = None


class SentError(WireModel):
    """Why an item failed elsewhere."""

    message: str
    code: str | None = None


class ResultBody(WireModel):
    """Of a result that whoever runs an experiment sends."""

    item_id: Identifier
    attempt: int = Field(default=0, ge=0, le=10**6)
    input: Any = None
    output: Any = None
    ground_truth: Any = None
    error: SentError | None = None
    started_at: Moment | None = None
    completed_at: Moment | None = None
    trace_id: Identifier | None = None
    scores: list[SentScore] = Field(default_factory=list[SentScore], max_length=100)


class ResultChangesBody(WireModel):
    """Of what somebody who looks at a result says of it."""

    status: Status | None = None
    tags: list[Text] | None = None
    comment: str | None = None


class CompareBody(WireModel):
    """Of two experiments."""

    experiment_id_a: Identifier = Field(alias="experimentIdA")
    experiment_id_b: Identifier = Field(alias="experimentIdB")


class GivenFeedback(WireModel):
    """What somebody thinks of an answer."""

    feedback_id: Identifier | None = None
    feedback_type: Text
    value: Annotated[float, Field(allow_inf_nan=False)] | str
    comment: str | None = None
    feedback_source: str | None = None
    feedback_user_id: Identifier | None = None
    user_id: Identifier | None = None
    trace_id: Identifier | None = None
    span_id: Identifier | None = None
    run_id: Identifier | None = None
    thread_id: Identifier | None = None
    entity_id: Identifier | None = None
    entity_type: Identifier | None = None
    entity_name: str | None = None
    experiment_id: Identifier | None = None
    source_id: Identifier | None = None
    metadata: Object | None = None
    tags: list[Text] | None = None
    review_status: Literal["needs-review", "reviewed"] = "needs-review"


class FeedbackBody(WireModel):
    """Of the route that stores feedback."""

    feedback: GivenFeedback


class FeedbackIdsBody(WireModel):
    """Of the route that deletes feedback."""

    feedback_ids: list[Identifier] = Field(max_length=1000)


class ReviewStatusBody(WireModel):
    """Of the route that says whether feedback was looked at."""

    review_status: Literal["needs-review", "reviewed"]


class AgentFacts(WireModel):
    """What is known of the agent that items are for."""

    description: Long | None = None
    instructions: Long | None = None
    tools: list[Text] | None = Field(default=None, max_length=1000)


class SuggestionsBody(WireModel):
    """Of the route that has a model write items."""

    model_id: Text
    prompt: Long
    count: int = Field(default=5, ge=1, le=50)
    agent_context: AgentFacts | None = None


class Failure(WireModel):
    """An item that failed."""

    id: Identifier
    input: Any = None
    output: Any = None
    error: str | None = None
    scores: dict[str, float] | None = None
    existing_tags: list[Text] | None = None


class FailuresBody(WireModel):
    """Of the route that has a model put failures together."""

    model_id: Text
    items: list[Failure] = Field(min_length=1, max_length=200)
    available_tags: list[Text] | None = None
    prompt: Long | None = None


class TraceTarget(WireModel):
    """A trace, or one of its spans."""

    trace_id: Identifier
    span_id: Identifier | None = None


class TracesBody(WireModel):
    """Of the route that scores traces."""

    scorer_name: Identifier
    targets: list[TraceTarget] = Field(min_length=1, max_length=1000)


def given(body: WireModel) -> dict[str, Json]:
    """Return what a body carries and what is not null, as the wire has it."""
    return body.model_dump(by_alias=True, exclude_none=True, mode="json")
