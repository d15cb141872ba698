"""What a scorer is given and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

from mastra.errors import InputValidationError
from mastra.jsonable import Json, to_jsonable
from mastra.names import hint, python_name, python_names
from mastra.request_context import RequestContext

__all__ = [
    "JudgeExecution",
    "NotScorable",
    "ScoreSource",
    "ScorerResult",
    "ScorerRun",
    "StageName",
    "StageResults",
    "not_scorable",
]

StageName: TypeAlias = Literal["preprocess", "analyze", "generate_score", "generate_reason"]
ScoreSource: TypeAlias = Literal["live", "experiment", "trace", "test"]


@python_names
@dataclass(frozen=True, slots=True)
class ScorerRun:
    """What is scored."""

    output: Any
    """Of an agent the messages of its answer, as storage has them; of a workflow or a step its
    output; of a trajectory scorer a trajectory. Text will do for every built-in scorer."""
    input: Any = None
    """Of an agent `{"inputMessages": […], "rememberedMessages": […], "systemMessages": […],
    "taggedSystemMessages": {}}`; otherwise anything. Text will do for every built-in scorer."""
    ground_truth: Any = None
    """What the answer should have been."""
    expected_trajectory: Any = None
    """What steps a trajectory should have, as JSON: `{"steps": [{"name": …}], "ordering": …}`."""
    request_context: Any = None
    """Values of the request."""
    additional_context: Mapping[str, Any] | None = None
    """Further facts for the scorer."""
    run_id: str = ""
    """The run that gave the output; left out, an id of the scoring's own."""

    @classmethod
    def of(cls, given: Any, options: Mapping[str, Any]) -> ScorerRun:
        """Return what a call of `Scorer.run` means.

        Args:
            given: A `ScorerRun`, a dict of its fields, or the state that a completion check gets.
            options: Its fields by name.

        Raises:
            InputValidationError: There is no such field, or no output.
        """
        if isinstance(given, ScorerRun):
            return replace(given, **options) if options else given
        fields = dict(options)
        if isinstance(given, Mapping):
            for key, value in cast("Mapping[str, Any]", given).items():
                fields[python_name(key, _FIELDS) or key] = value
        elif hasattr(given, "original_task"):
            fields = _of_task(given) | fields
        elif given is not None:
            raise InputValidationError(
                f"A scorer runs on input= and output=, not on a {type(given).__name__}."
            )
        unknown = fields.keys() - _FIELDS
        if unknown or "output" not in fields:
            what = ", ".join(map(repr, sorted(unknown)))
            raise InputValidationError(
                f"A scorer's run has no {what}.{hint(unknown, _FIELDS)}"
                if unknown
                else "A scorer's run needs what is scored: scorer.run(input=…, output=…)."
            )
        return cls(**fields)

    def context(self, name: str) -> Any:
        """Return a value of the request, of the further facts, or of the input, in this order."""
        values = self.request_context
        if isinstance(values, RequestContext):
            values = values.to_dict()
        for source in (values, self.additional_context, self.input):
            if isinstance(source, Mapping) and name in source:
                return cast("Mapping[str, Any]", source)[name]
        return None


_FIELDS = frozenset(ScorerRun.__dataclass_fields__)


def _of_task(state: Any) -> dict[str, Any]:
    """Return the fields for the `TaskState` of a run that asks whether its task is done."""
    given = {
        "originalTask": state.original_task,
        "currentText": state.text,
        "iteration": state.iteration,
        "prompt": state.original_task,
    }
    return {
        "input": given,
        "output": state.text,
        "request_context": state.request_context,
        "run_id": state.run_id,
    }


@dataclass(frozen=True, slots=True)
class NotScorable:
    """What a stage returns where a run is none that can be scored."""

    reason: str | None = None
    step: StageName | None = None
    """Which stage said so."""


def not_scorable(reason: str | None = None) -> NotScorable:
    """Return what a stage gives back for a run that cannot be scored; later stages do not run."""
    return NotScorable(reason)


@python_names
@dataclass(slots=True)
class StageResults:
    """What the stages before have given."""

    preprocess_step_result: Any = None
    analyze_step_result: Any = None
    generate_score_step_result: float | None = None
    generate_reason_step_result: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeExecution:
    """One question to a judge, and its answer."""

    prompt: str
    output: Any
    model: str
    usage: Mapping[str, Json]
    """Tokens, as the wire has them: `inputTokens`, `outputTokens`, `totalTokens`."""
    duration_ms: int
    cost_usd: float | None = None
    """In US dollars; `None` where no price is known."""


@python_names
@dataclass(frozen=True, slots=True)
class ScorerResult:
    """What came of scoring one output."""

    scorer_id: str
    run: ScorerRun
    score: float | None
    """`None` where a stage said that the run cannot be scored, or one failed."""
    reason: str | None = None
    results: StageResults = field(default_factory=StageResults)
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])
    """The prompts to the judge, by stage."""
    judge: Mapping[str, Sequence[JudgeExecution]] = field(
        default_factory=dict[str, "Sequence[JudgeExecution]"]
    )
    """The questions to the judge, by stage."""
    not_scorable: NotScorable | None = None

    @property
    def run_id(self) -> str:
        """The run that was scored."""
        return self.run.run_id

    @property
    def preprocess_step_result(self) -> Any:
        """What `preprocess` gave."""
        return self.results.preprocess_step_result

    @property
    def analyze_step_result(self) -> Any:
        """What `analyze` gave."""
        return self.results.analyze_step_result

    @property
    def cost_usd(self) -> float | None:
        """What the judge cost, in US dollars; `None` where a price is not known."""
        costs = [asked.cost_usd for stage in self.judge.values() for asked in stage]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def stage_data(self) -> dict[str, Json]:
        """Return what the stages gave, as the fields of the original's row of a score."""
        wire = {
            "score": self.score,
            "reason": self.reason,
            "preprocessStepResult": self.results.preprocess_step_result,
            "analyzeStepResult": self.results.analyze_step_result,
            **{_PROMPTS[stage]: text for stage, text in self.prompts.items()},
        }
        what = f"The score of {self.scorer_id!r}"
        return {
            key: to_jsonable(value, what=what) for key, value in wire.items() if value is not None
        }

    def to_wire(self) -> dict[str, Json]:
        """Return the fields of the original's row of a score that the scoring gives."""
        run = self.run
        context = run.request_context
        if isinstance(context, RequestContext):
            context = context.to_json()
        given = {
            "runId": run.run_id,
            "input": run.input,
            "output": run.output,
            "requestContext": context or None,
            "additionalContext": run.additional_context,
        }
        what = f"The score of {self.scorer_id!r}"
        return self.stage_data() | {
            key: to_jsonable(value, what=what) for key, value in given.items() if value is not None
        }


_PROMPTS = {
    "preprocess": "preprocessPrompt",
    "analyze": "analyzePrompt",
    "generate_score": "generateScorePrompt",
    "generate_reason": "generateReasonPrompt",
}
