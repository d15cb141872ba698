"""Processors: see, change or refuse what goes to a model and what comes from it."""

from __future__ import annotations

from mastra.processors.base import Processor as Processor
from mastra.processors.detectors import Moderation as Moderation
from mastra.processors.detectors import PromptInjectionDetector as PromptInjectionDetector
from mastra.processors.texts import PIIDetector as PIIDetector
from mastra.processors.texts import RegexFilter as RegexFilter
from mastra.processors.texts import TokenLimiter as TokenLimiter
from mastra.processors.texts import UnicodeNormalizer as UnicodeNormalizer

__all__ = [
    "Moderation",
    "PIIDetector",
    "Processor",
    "PromptInjectionDetector",
    "RegexFilter",
    "TokenLimiter",
    "UnicodeNormalizer",
]
