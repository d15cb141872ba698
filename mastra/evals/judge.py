"""The model that a scorer asks, as an agent of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, cast

from mastra.agents.agent import Agent
from mastra.agents.output import StructuredOutput
from mastra.errors import ConfigError
from mastra.evals.outcomes import JudgeExecution
from mastra.given import COUNT_FROM_1, FLAG, MAPPING, TEXT, check_given, either, one_of
from mastra.jsonable import to_jsonable
from mastra.models.resolve import ModelInput
from mastra.names import hint, python_name, python_names
from mastra.services import Services

__all__ = ["Judge", "ask"]

_FORMS: Final = {
    "instructions": TEXT,
    "model_settings": MAPPING,
    "max_steps": COUNT_FROM_1,
    "json_prompt_injection": either(FLAG, one_of("system", "inline", "auto")),
}


@python_names
@dataclass(frozen=True, slots=True)
class Judge:
    """A model that reads what was given and answers what a stage asks about it."""

    model: ModelInput
    """As an agent's."""
    instructions: str = (
        "You judge what an assistant has answered. Say what you see and nothing else."
    )
    """What it is told before each question."""
    model_settings: Mapping[str, Any] | None = None
    """As an agent's. Temperature 0, where a model takes it, makes scores repeat better."""
    tools: Any = None
    """What it may run to check what it reads."""
    max_steps: int | None = None
    """How often it may be called for one question, where it has tools."""
    json_prompt_injection: bool | Literal["system", "inline", "auto"] = False
    """Whether the form of the answer is also told in the prompt, for providers that cannot be held
    to one."""

    def __post_init__(self) -> None:
        check_given("Judge", {name: getattr(self, name) for name in _FORMS}, _FORMS)

    @classmethod
    def of(cls, given: Any) -> Judge:
        """Return a judge for itself, a dict of its fields, or a model.

        Raises:
            ConfigError: There is no such field, or no model.
        """
        if isinstance(given, Judge):
            return given
        if not isinstance(given, Mapping):
            return cls(given)
        known = frozenset(cls.__dataclass_fields__)
        fields = {
            python_name(key, known) or key: value
            for key, value in cast("Mapping[str, Any]", given).items()
        }
        unknown = fields.keys() - known
        if unknown or "model" not in fields:
            what = f"it has no {', '.join(sorted(unknown))}" if unknown else "it needs a model"
            raise ConfigError(
                f"A judge is {{'model': …, 'instructions': …}}: {what}.{hint(unknown, known)}"
            )
        return cls(**fields)


class _Asking(Protocol):
    id: str
    mastra: Services | None


async def ask(judge: Judge, prompt: str, schema: Any, scorer: _Asking) -> JudgeExecution:
    """Ask a judge one question.

    Args:
        judge: Whom.
        prompt: What.
        schema: What the answer must be; `None` for text.
        scorer: Who asks.

    Raises:
        ModelError: The judge could not be reached, or its answer does not fit.
    """
    agent = Agent(
        id=f"judge-of-{scorer.id}",
        instructions=judge.instructions,
        model=judge.model,
        tools=judge.tools,
    )
    if scorer.mastra is not None:
        agent = agent.bound_to(scorer.mastra)
    options: dict[str, Any] = {
        "model_settings": judge.model_settings,
        "max_steps": judge.max_steps,
    }
    if schema is not None:
        options["structured_output"] = StructuredOutput(
            schema, json_prompt_injection=judge.json_prompt_injection
        )
    began = time.perf_counter()
    result = await agent.generate(prompt, **options)
    output: Any = result.text
    if schema is not None:
        output = to_jsonable(result.object, what=f"The judge's answer to {scorer.id!r}")
    return JudgeExecution(
        prompt,
        output,
        result.steps[-1].model if result.steps else "",
        result.usage.to_wire(),
        round((time.perf_counter() - began) * 1000),
        result.cost_usd,
    )
