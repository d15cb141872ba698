"""A workflow's graph as the JSON that the server sends and Studio draws."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, cast

from mastra.jsonable import Json
from mastra.workflows.spec import StepNode, Unit, WorkflowNode, WorkflowSpec

__all__ = ["describe_nodes", "source_of"]


def source_of(function: object) -> str:
    """Return a function's source text, for display, or its name where there is none."""
    code = getattr(function, "__code__", None)
    try:
        if isinstance(code, CodeType) and code.co_name == "<lambda>":
            return _lambda_source(code)
        return inspect.getsource(cast("Callable[..., Any]", function)).strip()
    except (OSError, TypeError):
        return getattr(function, "__qualname__", repr(function))


@lru_cache(maxsize=1024)
def _lambda_source(code: CodeType) -> str:
    """Return a lambda alone: its lines hold what stands around it as well."""
    lines, _ = inspect.findsource(code)
    text = "".join(lines)
    places = [place for place in code.co_positions() if None not in place]
    try:
        tree = ast.parse(text)
    except SyntaxError:  # the file was changed meanwhile, or is no plain Python
        return inspect.getsource(code).strip()
    within = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
        if _holds(node.body, places)
    ]
    if not within:
        if code.co_filename == "<string>":  # the text of `python -c`, and not what was evaluated
            return code.co_qualname
        return inspect.getsource(code).strip()
    innermost = max(within, key=lambda node: node.col_offset)
    return ast.get_source_segment(text, innermost) or inspect.getsource(code).strip()


def _holds(body: ast.expr, places: Sequence[tuple[int | None, ...]]) -> bool:
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return any(begin == (line, column) and end == (last, to) for line, last, column, to in places)


def describe_nodes(spec: WorkflowSpec) -> list[Json]:
    """Return the graph of a workflow as Mastra serialises it."""
    return [node.drawn(_unit, source_of) for node in spec.nodes]


def _unit(unit: Unit) -> dict[str, Json]:
    if isinstance(unit, WorkflowNode):
        step: dict[str, Json] = {"id": unit.id}
        if unit.spec.description:
            step["description"] = unit.spec.description
        step["component"] = "WORKFLOW" if unit.spec.drive is None else "AGENT"
        step["serializedStepFlow"] = describe_nodes(unit.spec)
        step["canSuspend"] = False
        return {"type": "step", "step": step}
    step = {"id": unit.step.id}
    if unit.step.description:
        step["description"] = unit.step.description
    if unit.step.metadata:
        step["metadata"] = dict(unit.step.metadata)
    if unit.step.component:
        step["component"] = unit.step.component
    if unit.kind == "map":
        step["mapConfig"] = _map_config(unit)
    step["canSuspend"] = unit.step.resume_schema is not None or unit.step.suspend_schema is not None
    return {"type": "step", "step": step}


def _map_config(unit: StepNode) -> str:
    if callable(unit.config):
        return source_of(unit.config)
    return repr(unit.config)
