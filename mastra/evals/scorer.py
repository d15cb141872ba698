"""`create_scorer`: up to four stages, each a function or a prompt for a judge, that give a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack, cast

from mastra.errors import ConfigError, ScorerError
from mastra.evals.judge import Judge, ask
from mastra.evals.outcomes import (
    JudgeExecution,
    NotScorable,
    ScorerResult,
    ScorerRun,
    StageName,
    StageResults,
)
from mastra.failures import call_user, text_of
from mastra.given import FUNCTION, TEXT, check_given, one_of
from mastra.ids import new_id
from mastra.models.resolve import ModelInput
from mastra.names import camel, hint, python_name, python_names, python_options
from mastra.services import Services

__all__ = ["PromptStage", "Scorer", "StageContext", "create_scorer"]

ScorerType: TypeAlias = Literal["agent", "trajectory"]

_FORMS: Final = {
    "description": TEXT,
    "name": TEXT,
    "type": one_of("agent", "trajectory"),
    "prepare_run": FUNCTION,
}


@python_names
@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage looks at."""

    run: ScorerRun
    """What is scored."""
    results: StageResults
    """What the stages before have given."""
    score: float | None = None
    """The score, once there is one."""
    mastra: Services | None = None
    """The application, if the scorer belongs to one."""


@dataclass(frozen=True, slots=True)
class PromptStage:
    """A stage that asks a judge."""

    create_prompt: Callable[[StageContext], Any]
    """Gives the prompt; sync or async."""
    output_schema: Any = None
    """What the judge must answer with, in `preprocess` and `analyze`: a type that pydantic can
    validate, or a JSON Schema. A score is a number and a reason is text."""
    description: str = ""
    judge: Judge | None = None
    """Whom to ask; left out, the scorer's own judge."""


class PromptFields(TypedDict, total=False):
    """The fields of a `PromptStage`."""

    create_prompt: Callable[[StageContext], Any]
    output_schema: Any
    description: str
    judge: Judge | Mapping[str, Any] | ModelInput


Stage: TypeAlias = Callable[[StageContext], Any] | PromptStage
StageInput: TypeAlias = Stage | Mapping[str, Any] | None

_ORDER: tuple[StageName, ...] = ("preprocess", "analyze", "generate_score", "generate_reason")
_PROMPT = frozenset(PromptStage.__dataclass_fields__)


@python_names
class Scorer:
    """Gives a score to what an agent, a step or a workflow has given. Made by `create_scorer`.

    Each of the four methods that add a stage returns a new scorer. Stages run in the order
    `preprocess`, `analyze`, `generate_score`, `generate_reason`; only `generate_score` must be there.
    """

    __slots__ = ("_stages", "description", "id", "judge", "mastra", "name", "prepare_run", "type")

    def __init__(
        self,
        *,
        id: str,
        name: str,
        description: str,
        judge: Judge | None,
        kind: ScorerType | None,
        prepare_run: Callable[[ScorerRun], Any] | None,
    ) -> None:
        self.id = id
        self.name = name
        self.description = description
        self.judge = judge
        self.type: ScorerType | None = kind
        self.prepare_run = prepare_run
        self.mastra: Services | None = None
        self._stages: dict[StageName, Stage] = {}

    def __repr__(self) -> str:
        return f"Scorer({self.id!r})"

    def bound_to(self, services: Services) -> Scorer:
        """Return the same scorer as one of an application."""
        bound = self._copy()
        bound.mastra = services
        return bound

    def _copy(self) -> Scorer:
        made = copy(self)
        made._stages = dict(self._stages)  # noqa: SLF001 - our own copy
        return made

    # -- stages --------------------------------------------------------------------------------

    def preprocess(self, stage: StageInput = None, /, **prompt: Unpack[PromptFields]) -> Scorer:
        """Return the scorer with a first stage, whose result the others see.

        Args:
            stage: A function of the `StageContext`, sync or async.
            prompt: Or a question to the judge: `create_prompt` (a function of the context that
                gives the prompt), `output_schema`, `description`, and a `judge` of its own.
        """
        return self._with("preprocess", stage, prompt)

    def analyze(self, stage: StageInput = None, /, **prompt: Unpack[PromptFields]) -> Scorer:
        """Return the scorer with a stage that looks into what was prepared; see `preprocess`."""
        return self._with("analyze", stage, prompt)

    def generate_score(self, stage: StageInput = None, /, **prompt: Unpack[PromptFields]) -> Scorer:
        """Return the scorer with the stage that gives the score, a number; see `preprocess`."""
        return self._with("generate_score", stage, prompt)

    def generate_reason(
        self, stage: StageInput = None, /, **prompt: Unpack[PromptFields]
    ) -> Scorer:
        """Return the scorer with the stage that says why, in text; see `preprocess`."""
        return self._with("generate_reason", stage, prompt)

    def _with(self, name: StageName, stage: StageInput, prompt: Mapping[str, Any]) -> Scorer:
        made = self._copy()
        made._stages[name] = self._stage(name, stage, prompt)  # noqa: SLF001 - our own copy
        return made

    def _stage(self, name: StageName, stage: StageInput, prompt: Mapping[str, Any]) -> Stage:
        if isinstance(stage, PromptStage) or (callable(stage) and not prompt):
            return stage
        fields = {**cast("Mapping[str, Any]", stage or {}), **prompt}
        fields = {python_name(key, _PROMPT) or key: value for key, value in fields.items()}
        unknown = fields.keys() - _PROMPT
        if unknown or not callable(fields.get("create_prompt")):
            raise ConfigError(
                f"Scorer {self.id!r}: {name} takes a function of the context, or create_prompt= "
                f"with output_schema=.{hint(unknown, _PROMPT)}"
            )
        needs_schema = name in ("preprocess", "analyze")
        if needs_schema and fields.get("output_schema") is None:
            raise ConfigError(
                f"Scorer {self.id!r}: {name} asks a judge and does not say what the answer is: "
                "pass output_schema= with a type or a JSON Schema."
            )
        if fields.get("judge") is not None:
            fields["judge"] = Judge.of(fields["judge"])
        return PromptStage(**fields)

    def get_steps(self) -> list[dict[str, str]]:
        """Return name, type (`function` or `prompt`) and description of each stage."""
        return [
            {
                "name": camel(name),
                "type": "prompt" if isinstance(stage, PromptStage) else "function",
                "description": getattr(stage, "description", "") or "",
            }
            for name in _ORDER
            if (stage := self._stages.get(name)) is not None
        ]

    # -- running -------------------------------------------------------------------------------

    async def run(self, run: Any = None, /, **fields: Any) -> ScorerResult:
        """Score something.

        Args:
            run: A `ScorerRun`, or a dict of its fields.
            fields: Fields of `ScorerRun`: `output`, `input`, `ground_truth` and so on.

        Raises:
            ConfigError: There is no stage that gives a score, or no judge to ask.
            ScorerError: A stage raised, or gave no number as a score.
        """
        if "generate_score" not in self._stages:
            raise ConfigError(
                f"Scorer {self.id!r} gives no score: add .generate_score(function) to it."
            )
        given = ScorerRun.of(run, fields)
        if self.prepare_run is not None:
            given = ScorerRun.of(await call_user(self.prepare_run, given), {})
        if not given.run_id:
            given = replace(given, run_id=new_id())
        return await _Scoring(self, given, self._stages).run()


class _Scoring:
    """One run of a scorer."""

    def __init__(self, scorer: Scorer, run: ScorerRun, stages: Mapping[StageName, Stage]) -> None:
        self._scorer = scorer
        self._run = run
        self._stages = stages
        self._results = StageResults()
        self._prompts: dict[str, str] = {}
        self._asked: dict[str, list[JudgeExecution]] = {}

    async def run(self) -> ScorerResult:
        for name in _ORDER:
            stage = self._stages.get(name)
            if stage is None:
                continue
            try:
                found = await self._work(name, stage)
            except ConfigError:
                raise
            except Exception as error:
                raise ScorerError(
                    f"Stage {name} of scorer {self._scorer.id!r} failed: {text_of(error)}",
                    failed_step=name,
                    result=self._result(None),
                ) from error
            if isinstance(found, NotScorable):
                return self._result(replace(found, step=name))
            setattr(self._results, f"{name}_step_result", found)
        return self._result(None)

    def _result(self, not_scorable: NotScorable | None) -> ScorerResult:
        return ScorerResult(
            self._scorer.id,
            self._run,
            self._results.generate_score_step_result if not_scorable is None else None,
            self._results.generate_reason_step_result,
            self._results,
            self._prompts,
            self._asked,
            not_scorable,
        )

    async def _work(self, name: StageName, stage: Stage) -> Any:
        score = self._results.generate_score_step_result
        context = StageContext(self._run, self._results, score, self._scorer.mastra)
        if isinstance(stage, PromptStage):
            found = await self._ask(name, stage, context)
        else:
            found = await call_user(stage, context)
        if name == "generate_score" and not isinstance(found, NotScorable):
            return _number(found)
        return found

    async def _ask(self, name: StageName, stage: PromptStage, context: StageContext) -> Any:
        judge = stage.judge or self._scorer.judge
        if judge is None:
            raise ConfigError(
                f"Stage {name} of scorer {self._scorer.id!r} asks a judge, and there is none: "
                "create_scorer(judge={'model': …, 'instructions': …})."
            )
        prompt = str(await call_user(stage.create_prompt, context))
        self._prompts[name] = prompt
        schema: Any = stage.output_schema
        if name == "generate_score":
            schema = _SCORE
        elif name == "generate_reason":
            schema = None
        asked = await ask(judge, prompt, schema, self._scorer)
        self._asked.setdefault(name, []).append(asked)
        return asked.output["score"] if name == "generate_score" else asked.output


_SCORE = {
    "type": "object",
    "properties": {"score": {"type": "number"}},
    "required": ["score"],
    "additionalProperties": False,
}


def _number(found: Any) -> float:
    """Return a score as it is.

    Raises:
        TypeError: It is no finite number.
    """
    if isinstance(found, bool):
        return float(found)
    if not isinstance(found, (int, float)) or not math.isfinite(found):
        raise TypeError(f"it gave {found!r}, which is no finite number")
    return found


@python_options
def create_scorer(
    *,
    id: str,
    description: str,
    name: str | None = None,
    judge: Judge | Mapping[str, Any] | ModelInput | None = None,
    type: ScorerType | None = None,  # noqa: A002 - its name in the original
    prepare_run: Callable[[ScorerRun], Any] | None = None,
) -> Scorer:
    """Return a scorer without stages; add them with `preprocess`, `analyze` and so on.

    Args:
        id: Its name for programs.
        description: What it measures.
        name: Its name for people; left out, the id.
        judge: Whom stages with a prompt ask: a `Judge`, or `{"model": …, "instructions": …}`.
        type: `agent` for what reads the messages of an agent, `trajectory` for what reads the
            steps that it took; left out, it takes anything.
        prepare_run: A function of the `ScorerRun` that gives the one to score instead.

    Raises:
        ConfigError: The id is empty, the judge is none, or an option is of another kind.
    """
    if not id or not isinstance(id, str):
        raise ConfigError("A scorer needs an id, a text: create_scorer(id='politeness', …).")
    check_given(f"Scorer {id!r}", locals(), _FORMS)
    return Scorer(
        id=id,
        name=name or id,
        description=description,
        judge=None if judge is None else Judge.of(judge),
        kind=type,
        prepare_run=prepare_run,
    )
