"""Checks: scorers that give 1 where an answer is as it should be, else 0. Good as gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mastra.errors import ConfigError
from mastra.evals.messages import agent_texts, invocations, tool_calls
from mastra.evals.scorer import Scorer, create_scorer
from mastra.evals.texts import dice_similarity

__all__ = [
    "called_tool",
    "did_not_call",
    "equals",
    "excludes",
    "includes",
    "matches",
    "max_tool_calls",
    "no_tool_errors",
    "similarity",
    "tool_order",
    "used_no_tools",
]


def _check(name: str, description: str, look: Callable[[Any], dict[str, Any]]) -> Scorer:
    """Return a check that passes where what `look` finds in the output says so."""
    scorer = create_scorer(
        id=f"check-{name}",
        name=f"{name.replace('-', ' ').title()} Check",
        description=description,
        type="agent",
    )
    return scorer.preprocess(lambda ctx: look(ctx.run.output)).generate_score(
        lambda ctx: float(ctx.results.preprocess_step_result["passed"])
    )


def _cased(text: str, *, ignore_case: bool) -> str:
    return text.lower() if ignore_case else text


def includes(expected: str, *, ignore_case: bool = True) -> Scorer:
    """Return a check that an answer holds some text."""
    target = _cased(expected, ignore_case=ignore_case)

    def look(output: Any) -> dict[str, Any]:
        text = _cased(" ".join(agent_texts(output)), ignore_case=ignore_case)
        return {"output": text, "target": target, "passed": target in text}

    return _check("includes", f"The answer includes {expected!r}.", look)


def excludes(unwanted: str, *, ignore_case: bool = True) -> Scorer:
    """Return a check that an answer does not hold some text."""
    target = _cased(unwanted, ignore_case=ignore_case)

    def look(output: Any) -> dict[str, Any]:
        text = _cased(" ".join(agent_texts(output)), ignore_case=ignore_case)
        return {"output": text, "target": target, "passed": target not in text}

    return _check("excludes", f"The answer does not include {unwanted!r}.", look)


def equals(expected: str, *, ignore_case: bool = True) -> Scorer:
    """Return a check that an answer is some text."""
    target = _cased(expected, ignore_case=ignore_case)

    def look(output: Any) -> dict[str, Any]:
        text = _cased("".join(agent_texts(output)), ignore_case=ignore_case)
        return {"output": text, "target": target, "passed": text == target}

    return _check("equals", f"The answer is {expected!r}.", look)


def matches(pattern: str | re.Pattern[str], *, exact: bool = False) -> Scorer:
    """Return a check that a regular expression is found in an answer.

    Args:
        pattern: The expression.
        exact: Whether it begins where the answer does and ends where it ends.
    """
    found = re.compile(pattern)
    if exact:
        end = "$" if found.flags & re.MULTILINE else r"\Z"
        found = re.compile(f"^{found.pattern}{end}", found.flags)

    def look(output: Any) -> dict[str, Any]:
        text = "".join(agent_texts(output))
        is_there = found.search(text) is not None
        return {"output": text, "pattern": found.pattern, "passed": is_there}

    return _check("matches", f"The answer matches {found.pattern!r}.", look)


def similarity(
    expected: str, *, ignore_case: bool = True, threshold: float | None = None
) -> Scorer:
    """Return a scorer of how like an answer is to some text, by pairs of characters (0 to 1).

    Args:
        expected: The text.
        ignore_case: Whether capitals do not matter.
        threshold: Give 1 from here on and 0 below it.
    """
    target = _cased(expected, ignore_case=ignore_case)

    def look(output: Any) -> dict[str, Any]:
        text = _cased(" ".join(agent_texts(output)), ignore_case=ignore_case)
        score = dice_similarity(text, target)
        passed = score if threshold is None else score >= threshold
        return {"output": text, "target": target, "score": score, "passed": passed}

    return _check("similarity", f"How like the answer is to {expected!r}.", look)


def called_tool(tool_name: str, *, times: int = 1) -> Scorer:
    """Return a check that an agent called a tool at least so often."""

    def look(output: Any) -> dict[str, Any]:
        count = tool_calls(output)[0].count(tool_name)
        return {"toolName": tool_name, "actualCount": count, "passed": count >= times}

    return _check("called-tool", f"The agent called {tool_name!r}, {times} times at least.", look)


def did_not_call(tool_name: str) -> Scorer:
    """Return a check that an agent did not call a tool."""

    def look(output: Any) -> dict[str, Any]:
        count = tool_calls(output)[0].count(tool_name)
        return {"toolName": tool_name, "count": count, "passed": count == 0}

    return _check("did-not-call", f"The agent did not call {tool_name!r}.", look)


def tool_order(expected_order: Sequence[str]) -> Scorer:
    """Return a check that an agent called tools in some order, with others between them."""
    wanted = list(expected_order)
    if not wanted:
        raise ConfigError("tool_order got no tools: every answer would pass. Give at least one.")

    def look(output: Any) -> dict[str, Any]:
        called = tool_calls(output)[0]
        reached = 0
        for tool in called:
            if reached < len(wanted) and tool == wanted[reached]:
                reached += 1
        passed = reached == len(wanted)
        return {"actualTools": called, "expectedOrder": wanted, "passed": passed}

    return _check("tool-order", f"The agent called {' then '.join(wanted)}.", look)


def max_tool_calls(most: int) -> Scorer:
    """Return a check that an agent called tools so often at most."""

    def look(output: Any) -> dict[str, Any]:
        count = len(tool_calls(output)[0])
        return {"count": count, "max": most, "passed": count <= most}

    return _check("max-tool-calls", f"The agent called tools {most} times at most.", look)


def used_no_tools() -> Scorer:
    """Return a check that an agent called no tool."""

    def look(output: Any) -> dict[str, Any]:
        count = len(tool_calls(output)[0])
        return {"count": count, "passed": count == 0}

    return _check("used-no-tools", "The agent called no tool.", look)


def no_tool_errors() -> Scorer:
    """Return a check that every tool that an agent called gave a result, and no error."""

    def look(output: Any) -> dict[str, Any]:
        made = [call for _, _, call in invocations(output)]
        errors = sum(map(_has_failed, made))
        return {"errorCount": errors, "totalCalls": len(made), "passed": errors == 0}

    return _check("no-tool-errors", "Every tool call gave a result.", look)


def _has_failed(call: Any) -> bool:
    result: Any = call.get("result")
    fields: Mapping[str, Any] = {}
    if isinstance(result, Mapping):
        fields = cast("Mapping[str, Any]", result)
    is_error = bool(fields.get("error"))
    return call.get("state") in ("call", "output-error") or call.get("isError") is True or is_error
