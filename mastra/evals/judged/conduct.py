"""Judged scorers of what an agent did: its tools and its trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from mastra.errors import InputValidationError
from mastra.evals.judged.verdicts import (
    answer_of,
    judged,
    prompt,
    question_of,
    texts_of,
    why,
)
from mastra.evals.messages import (
    assistant_text,
    tool_calls,
)
from mastra.evals.numbers import js_json, round_to_two, within_unit
from mastra.evals.scorer import PromptStage, Scorer, StageContext
from mastra.evals.trajectory_scorers import expected_steps
from mastra.models.resolve import ModelInput
from mastra.names import python_options
from mastra.tools.named import named_tools
from mastra.tools.tool import ToolSetInput

__all__ = [
    "create_tool_call_accuracy_scorer_llm",
    "create_trajectory_accuracy_scorer_llm",
]

Fields = Mapping[str, Any]


class ToolVerdict(TypedDict):
    """Whether a call was right."""

    toolCalled: str
    wasAppropriate: bool
    reasoning: str


class ToolVerdicts(TypedDict):
    """Whether all calls were."""

    evaluations: list[ToolVerdict]
    missingTools: NotRequired[list[str]]


@python_options
def create_tool_call_accuracy_scorer_llm(
    *, model: ModelInput, available_tools: ToolSetInput
) -> Scorer:
    """Return a scorer of which share of an agent's tool calls was right (0 to 1).

    Args:
        model: The judge.
        available_tools: The tools that the agent had.
    """
    offered = "\n".join(
        f"{tool.id}: {tool.description}" for tool in named_tools(available_tools).values()
    )

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        if (not question_of(ctx) and not ctx.run.input) or not ctx.run.output:
            raise InputValidationError("Tool calls are looked for in an answer; there is none.")
        called, infos = tool_calls(ctx.run.output)
        return {"actualTools": called, "hasToolCalls": bool(called), "toolCallInfos": infos}

    def analyze(ctx: StageContext) -> str:
        called = ctx.results.preprocess_step_result["actualTools"]
        return prompt(
            """Say of each tool call of the agent whether it was appropriate: only where it serves
            what the user asked for, not where it merely helps or is near to it. Where no tool was
            called, say which should have been. To ask back is right where the user has not said
            enough, and to answer in general without a tool that was there is not.""",
            ("The user asked", question_of(ctx)),
            ("The agent answered", answer_of(ctx)),
            ("Tools it called, in order", ", ".join(called) or "(none)"),
            ("Tools it had", offered),
            """Answer with JSON: {"evaluations": [{"toolCalled": "…", "wasAppropriate": true,
            "reasoning": "…"}], "missingTools": ["…"]}, one evaluation for each call.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "evaluations")
        if not found:
            return 0.0 if texts_of(ctx.results.analyze_step_result, "missingTools") else 1.0
        return round_to_two(sum(bool(one["wasAppropriate"]) for one in found) / len(found))

    def reason(ctx: StageContext) -> str:
        return prompt(
            "Explain in one sentence why the agent's choice of tools has this score out of 1.",
            ("The user asked", question_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
        )

    return judged(
        id="llm-tool-call-accuracy-scorer",
        name="Tool Call Accuracy (LLM)",
        description="Which share of the agent's tool calls was right.",
        model=model,
        instructions="You judge which tools an agent chose for what a user asked, and are "
        "strict: what was not asked for is not appropriate.",
        preprocess=preprocess,
        analyze=PromptStage(analyze, ToolVerdicts, "Judge each tool call"),
        score=score,
        reason=why(reason),
    )


# -- trajectories ----------------------------------------------------------------------------------


class StepVerdict(TypedDict):
    """Whether a step was needed, and in its place."""

    stepName: str
    wasNecessary: bool
    wasInOrder: bool
    reasoning: str


class StepVerdicts(TypedDict):
    """What all steps were."""

    stepEvaluations: list[StepVerdict]
    missingSteps: NotRequired[list[str]]
    extraSteps: NotRequired[list[str]]
    overallAssessment: str


@python_options
def create_trajectory_accuracy_scorer_llm(
    *, model: ModelInput, expected_trajectory: Sequence[Fields] | Fields | None = None
) -> Scorer:
    """Return a scorer of whether the steps that were taken were needed and in order (0 to 1).

    Args:
        model: The judge.
        expected_trajectory: The steps there should be, or a trajectory that was right; left out,
            what the item says, or what the judge holds to be right.
    """
    fixed = expected_steps(expected_trajectory)

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        actual = ctx.run.output
        of_item: Fields = ctx.run.expected_trajectory or {}
        wanted = (of_item.get("steps") or None) if fixed is None else fixed
        return {
            "actualTrajectoryFormatted": _taken(actual["steps"]),
            "expectedTrajectoryFormatted": None if wanted is None else _wanted(wanted),
            "hasSteps": bool(actual["steps"]),
        }

    def analyze(ctx: StageContext) -> str:
        found = ctx.results.preprocess_step_result
        wanted = found["expectedTrajectoryFormatted"]
        return prompt(
            """Say of each step that was taken whether it was needed for what the user asked, and
            whether it stands at a place that makes sense. List steps that are missing, and steps
            that should not be there."""
            + (" The steps expected are a guide, not a law." if wanted else ""),
            ("The user asked", question_of(ctx)),
            ("The answer", assistant_text(ctx.run.output.get("rawOutput")) or ""),
            ("Steps taken", found["actualTrajectoryFormatted"] or "(none)"),
            ("Steps expected", wanted or "(not said: judge by what was asked)"),
            """Answer with JSON: {"stepEvaluations": [{"stepName": "…", "wasNecessary": true,
            "wasInOrder": true, "reasoning": "…"}], "missingSteps": ["…"], "extraSteps": ["…"],
            "overallAssessment": "…"}, one evaluation for each step taken.""",
        )

    def reason(ctx: StageContext) -> str:
        return prompt(
            "Explain in one or two sentences why the steps have this score out of 1.",
            ("The user asked", question_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
        )

    return judged(
        id="llm-trajectory-accuracy-scorer",
        name="Trajectory Accuracy (LLM)",
        description="Whether the steps that were taken were needed and in order.",
        model=model,
        instructions="You judge the steps that an agent took for what a user asked: whether "
        "each was needed, whether they came in an order that makes sense, and what is missing.",
        kind="trajectory",
        preprocess=preprocess,
        analyze=PromptStage(analyze, StepVerdicts, "Judge each step"),
        score=_steps_score,
        reason=why(reason),
    )


def _steps_score(ctx: StageContext) -> float:
    steps = texts_of(ctx.results.analyze_step_result, "stepEvaluations")
    missing = texts_of(ctx.results.analyze_step_result, "missingSteps")
    if not steps:
        extra = texts_of(ctx.results.analyze_step_result, "extraSteps")
        return 0.0 if missing else 0.5 if extra else 1.0
    needed = sum(bool(step["wasNecessary"]) for step in steps) / len(steps)
    ordered = sum(bool(step["wasInOrder"]) for step in steps) / len(steps)
    penalty = len(missing) / (len(steps) + len(missing))
    return round_to_two(within_unit(needed * 0.6 + ordered * 0.3 - penalty * 0.1))


def _taken(steps: Sequence[Fields], indent: int = 0) -> str:
    lines: list[str] = []
    for place, step in enumerate(steps, 1):
        kept = ("toolArgs", "toolResult", "modelId", "output")
        facts = {key: step[key] for key in kept if key in step}
        told = f" {js_json(facts)}" if facts else ""
        lines.append(f"{'  ' * indent}{place}. [{step.get('stepType')}] {step['name']}{told}")
        if step.get("children"):
            lines.append(_taken(step["children"], indent + 1))
    return "\n".join(lines)


def _wanted(steps: Sequence[Fields], indent: int = 0) -> str:
    lines: list[str] = []
    for place, step in enumerate(steps, 1):
        told = ("name", "stepType", "children")
        facts = {key: value for key, value in step.items() if key not in told}
        kind = f"[{step['stepType']}] " if step.get("stepType") else ""
        more = f" {js_json(facts)}" if facts else ""
        lines.append(f"{'  ' * indent}{place}. {kind}{step['name']}{more}")
        children: Fields = step.get("children") or {}
        inner = children.get("steps")
        if inner:
            lines.append(_wanted(inner, indent + 1))
    return "\n".join(lines)
