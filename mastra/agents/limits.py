"""`UsageLimits`: how much a run may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from mastra.errors import ConfigError
from mastra.given import check_names
from mastra.jsonable import Json
from mastra.names import camel

__all__ = ["LimitsInput", "UsageLimits"]


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """How much one run may use, with the agents that it asks; what is left out has no limit.

    Looked at before each model request, before the tools of a step run, and after each answer.
    Beyond one of them the run ends with `UsageLimitError`, which has the result so far.

    Raises:
        ConfigError: One of them is no number from 0.
    """

    requests: int | None = None
    """Model requests. Each model of a fallback list that is asked is one; a retry is none."""
    tool_calls: int | None = None
    """Tool calls. Those of a step are counted together, before any of them runs."""
    input_tokens: int | None = None
    """Tokens of all prompts."""
    output_tokens: int | None = None
    """Tokens of all answers, thinking included."""
    total_tokens: int | None = None
    """Both together."""
    cost_usd: float | None = None
    """US dollars. What a model takes of which no price is known counts as nothing."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name != "cost_usd"
            if value is None:
                continue
            is_number = isinstance(value, int if whole else int | float)
            if not is_number or isinstance(value, bool) or math.isnan(value) or value < 0:
                kind = "a whole number" if whole else "a number"
                raise ConfigError(
                    f"limits: {name} is {value!r}; give {kind} from 0, or leave it out."
                )

    @classmethod
    def of(cls, given: LimitsInput | None) -> UsageLimits:
        """Return limits, given as such or by their names.

        Raises:
            ConfigError: There is no limit of that name, or it is no number from 0.
        """
        if isinstance(given, UsageLimits):
            return given
        known = sorted(field.name for field in fields(cls))
        spelt = {camel(name): name for name in known}
        named: dict[str, Any] = {spelt.get(k, k): value for k, value in (given or {}).items()}
        check_names("limits has no", named, known)
        return cls(**named)

    def over(self, others: UsageLimits) -> UsageLimits:
        """Return these limits, and others' where these say nothing."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return UsageLimits(**{**asdict(others), **own})

    def within(self, others: UsageLimits) -> UsageLimits:
        """Return the smaller of each."""
        mine, theirs = asdict(self), asdict(others)
        return UsageLimits(
            **{
                name: min(
                    (limit for limit in (mine[name], theirs[name]) if limit is not None),
                    default=None,
                )
                for name in mine
            }
        )

    def to_json(self) -> dict[str, Json]:
        """Return those that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


LimitsInput: TypeAlias = UsageLimits | Mapping[str, Any]
"""Limits, or a mapping of their names to numbers."""
