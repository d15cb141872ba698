"""Scores of what agents, steps and workflows give: while they run, and over datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.evals.code_scorers import create_completeness_scorer as create_completeness_scorer
    from mastra.evals.code_scorers import (
        create_content_similarity_scorer as create_content_similarity_scorer,
    )
    from mastra.evals.code_scorers import (
        create_keyword_coverage_scorer as create_keyword_coverage_scorer,
    )
    from mastra.evals.code_scorers import (
        create_textual_difference_scorer as create_textual_difference_scorer,
    )
    from mastra.evals.code_scorers import create_tone_scorer as create_tone_scorer
    from mastra.evals.code_scorers import (
        create_tool_call_accuracy_scorer_code as create_tool_call_accuracy_scorer_code,
    )
    from mastra.evals.comparison import Comparison as Comparison
    from mastra.evals.comparison import compare_experiments as compare_experiments
    from mastra.evals.datasets import Dataset as Dataset
    from mastra.evals.datasets import DatasetItem as DatasetItem
    from mastra.evals.experiment_results import ExperimentItem as ExperimentItem
    from mastra.evals.experiment_results import ExperimentResult as ExperimentResult
    from mastra.evals.experiment_results import load_experiment as load_experiment
    from mastra.evals.experiments import Experiment as Experiment
    from mastra.evals.judge import Judge as Judge
    from mastra.evals.judged.answers import (
        create_answer_relevancy_scorer as create_answer_relevancy_scorer,
    )
    from mastra.evals.judged.answers import (
        create_answer_similarity_scorer as create_answer_similarity_scorer,
    )
    from mastra.evals.judged.answers import (
        create_prompt_alignment_scorer_llm as create_prompt_alignment_scorer_llm,
    )
    from mastra.evals.judged.claims import (
        create_context_recall_scorer as create_context_recall_scorer,
    )
    from mastra.evals.judged.claims import create_faithfulness_scorer as create_faithfulness_scorer
    from mastra.evals.judged.claims import (
        create_hallucination_scorer as create_hallucination_scorer,
    )
    from mastra.evals.judged.conduct import (
        create_tool_call_accuracy_scorer_llm as create_tool_call_accuracy_scorer_llm,
    )
    from mastra.evals.judged.conduct import (
        create_trajectory_accuracy_scorer_llm as create_trajectory_accuracy_scorer_llm,
    )
    from mastra.evals.judged.context import (
        create_context_precision_scorer as create_context_precision_scorer,
    )
    from mastra.evals.judged.context import (
        create_context_relevance_scorer_llm as create_context_relevance_scorer_llm,
    )
    from mastra.evals.judged.context import (
        create_noise_sensitivity_scorer_llm as create_noise_sensitivity_scorer_llm,
    )
    from mastra.evals.judged.harm import create_bias_scorer as create_bias_scorer
    from mastra.evals.judged.harm import create_toxicity_scorer as create_toxicity_scorer
    from mastra.evals.judged.rubrics import (
        create_multi_turn_judge_scorer as create_multi_turn_judge_scorer,
    )
    from mastra.evals.judged.rubrics import create_rubric_scorer as create_rubric_scorer
    from mastra.evals.judged.summaries import (
        create_summarization_scorer as create_summarization_scorer,
    )
    from mastra.evals.live import LiveScores as LiveScores
    from mastra.evals.live import ScorerEntry as ScorerEntry
    from mastra.evals.messages import create_agent_test_run as create_agent_test_run
    from mastra.evals.messages import create_test_message as create_test_message
    from mastra.evals.messages import create_tool_invocation as create_tool_invocation
    from mastra.evals.outcomes import JudgeExecution as JudgeExecution
    from mastra.evals.outcomes import NotScorable as NotScorable
    from mastra.evals.outcomes import ScorerResult as ScorerResult
    from mastra.evals.outcomes import ScorerRun as ScorerRun
    from mastra.evals.outcomes import StageResults as StageResults
    from mastra.evals.outcomes import not_scorable as not_scorable
    from mastra.evals.runs import EvalSummary as EvalSummary
    from mastra.evals.runs import run_evals as run_evals
    from mastra.evals.scorer import PromptStage as PromptStage
    from mastra.evals.scorer import Scorer as Scorer
    from mastra.evals.scorer import StageContext as StageContext
    from mastra.evals.scorer import create_scorer as create_scorer
    from mastra.evals.trajectories import analyze_tool_failures as analyze_tool_failures
    from mastra.evals.trajectories import check_blacklist as check_blacklist
    from mastra.evals.trajectories import check_efficiency as check_efficiency
    from mastra.evals.trajectories import compare_trajectories as compare_trajectories
    from mastra.evals.trajectories import extract_trajectory as extract_trajectory
    from mastra.evals.trajectories import extract_workflow_trajectory as extract_workflow_trajectory
    from mastra.evals.trajectory_scorers import (
        create_trajectory_accuracy_scorer_code as create_trajectory_accuracy_scorer_code,
    )
    from mastra.evals.trajectory_scorers import (
        create_trajectory_scorer_code as create_trajectory_scorer_code,
    )

__all__ = [
    "Comparison",
    "Dataset",
    "DatasetItem",
    "EvalSummary",
    "Experiment",
    "ExperimentItem",
    "ExperimentResult",
    "Judge",
    "JudgeExecution",
    "LiveScores",
    "NotScorable",
    "PromptStage",
    "Scorer",
    "ScorerEntry",
    "ScorerResult",
    "ScorerRun",
    "StageContext",
    "StageResults",
    "analyze_tool_failures",
    "check_blacklist",
    "check_efficiency",
    "compare_experiments",
    "compare_trajectories",
    "create_agent_test_run",
    "create_answer_relevancy_scorer",
    "create_answer_similarity_scorer",
    "create_bias_scorer",
    "create_completeness_scorer",
    "create_content_similarity_scorer",
    "create_context_precision_scorer",
    "create_context_recall_scorer",
    "create_context_relevance_scorer_llm",
    "create_faithfulness_scorer",
    "create_hallucination_scorer",
    "create_keyword_coverage_scorer",
    "create_multi_turn_judge_scorer",
    "create_noise_sensitivity_scorer_llm",
    "create_prompt_alignment_scorer_llm",
    "create_rubric_scorer",
    "create_scorer",
    "create_summarization_scorer",
    "create_test_message",
    "create_textual_difference_scorer",
    "create_tone_scorer",
    "create_tool_call_accuracy_scorer_code",
    "create_tool_call_accuracy_scorer_llm",
    "create_tool_invocation",
    "create_toxicity_scorer",
    "create_trajectory_accuracy_scorer_code",
    "create_trajectory_accuracy_scorer_llm",
    "create_trajectory_scorer_code",
    "extract_trajectory",
    "extract_workflow_trajectory",
    "load_experiment",
    "not_scorable",
    "run_evals",
]

_HOMES = {
    "Comparison": "mastra.evals.comparison",
    "Dataset": "mastra.evals.datasets",
    "DatasetItem": "mastra.evals.datasets",
    "EvalSummary": "mastra.evals.runs",
    "Experiment": "mastra.evals.experiments",
    "ExperimentItem": "mastra.evals.experiment_results",
    "ExperimentResult": "mastra.evals.experiment_results",
    "Judge": "mastra.evals.judge",
    "JudgeExecution": "mastra.evals.outcomes",
    "LiveScores": "mastra.evals.live",
    "NotScorable": "mastra.evals.outcomes",
    "PromptStage": "mastra.evals.scorer",
    "Scorer": "mastra.evals.scorer",
    "ScorerEntry": "mastra.evals.live",
    "ScorerResult": "mastra.evals.outcomes",
    "ScorerRun": "mastra.evals.outcomes",
    "StageContext": "mastra.evals.scorer",
    "StageResults": "mastra.evals.outcomes",
    "analyze_tool_failures": "mastra.evals.trajectories",
    "check_blacklist": "mastra.evals.trajectories",
    "check_efficiency": "mastra.evals.trajectories",
    "compare_experiments": "mastra.evals.comparison",
    "compare_trajectories": "mastra.evals.trajectories",
    "create_agent_test_run": "mastra.evals.messages",
    "create_answer_relevancy_scorer": "mastra.evals.judged.answers",
    "create_answer_similarity_scorer": "mastra.evals.judged.answers",
    "create_bias_scorer": "mastra.evals.judged.harm",
    "create_completeness_scorer": "mastra.evals.code_scorers",
    "create_content_similarity_scorer": "mastra.evals.code_scorers",
    "create_context_precision_scorer": "mastra.evals.judged.context",
    "create_context_recall_scorer": "mastra.evals.judged.claims",
    "create_context_relevance_scorer_llm": "mastra.evals.judged.context",
    "create_faithfulness_scorer": "mastra.evals.judged.claims",
    "create_hallucination_scorer": "mastra.evals.judged.claims",
    "create_keyword_coverage_scorer": "mastra.evals.code_scorers",
    "create_multi_turn_judge_scorer": "mastra.evals.judged.rubrics",
    "create_noise_sensitivity_scorer_llm": "mastra.evals.judged.context",
    "create_prompt_alignment_scorer_llm": "mastra.evals.judged.answers",
    "create_rubric_scorer": "mastra.evals.judged.rubrics",
    "create_scorer": "mastra.evals.scorer",
    "create_summarization_scorer": "mastra.evals.judged.summaries",
    "create_test_message": "mastra.evals.messages",
    "create_textual_difference_scorer": "mastra.evals.code_scorers",
    "create_tone_scorer": "mastra.evals.code_scorers",
    "create_tool_call_accuracy_scorer_code": "mastra.evals.code_scorers",
    "create_tool_call_accuracy_scorer_llm": "mastra.evals.judged.conduct",
    "create_tool_invocation": "mastra.evals.messages",
    "create_toxicity_scorer": "mastra.evals.judged.harm",
    "create_trajectory_accuracy_scorer_code": "mastra.evals.trajectory_scorers",
    "create_trajectory_accuracy_scorer_llm": "mastra.evals.judged.conduct",
    "create_trajectory_scorer_code": "mastra.evals.trajectory_scorers",
    "extract_trajectory": "mastra.evals.trajectories",
    "extract_workflow_trajectory": "mastra.evals.trajectories",
    "load_experiment": "mastra.evals.experiment_results",
    "not_scorable": "mastra.evals.outcomes",
    "run_evals": "mastra.evals.runs",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
