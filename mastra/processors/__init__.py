"""Processors: see, change or refuse what goes to a model and what comes from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mastra.extras import lazy_names
from mastra.processors.base import Processor as Processor
from mastra.processors.compaction import Compaction as Compaction
from mastra.processors.detectors import Moderation as Moderation
from mastra.processors.detectors import PromptInjectionDetector as PromptInjectionDetector
from mastra.processors.limiter import TokenLimiter as TokenLimiter
from mastra.processors.texts import PIIDetector as PIIDetector
from mastra.processors.texts import RegexFilter as RegexFilter
from mastra.processors.texts import UnicodeNormalizer as UnicodeNormalizer
from mastra.processors.tokens import estimate_tokens as estimate_tokens

if TYPE_CHECKING:
    from mastra.processors.steps import ProcessorMoment as ProcessorMoment
    from mastra.processors.steps import ProcessorStepData as ProcessorStepData
    from mastra.processors.steps import processor_step as processor_step

__all__ = [
    "Compaction",
    "Moderation",
    "PIIDetector",
    "Processor",
    "ProcessorMoment",
    "ProcessorStepData",
    "PromptInjectionDetector",
    "RegexFilter",
    "TokenLimiter",
    "UnicodeNormalizer",
    "estimate_tokens",
    "processor_step",
]

# An agent alone loads no workflows.
_of_steps, _ = lazy_names(
    __name__,
    dict.fromkeys(
        ("ProcessorMoment", "ProcessorStepData", "processor_step"), "mastra.processors.steps"
    ),
)


def __getattr__(name: str) -> Any:
    return _of_steps(name)


def __dir__() -> list[str]:
    return sorted(__all__)
