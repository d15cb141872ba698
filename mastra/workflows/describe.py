"""A workflow's graph as the JSON that the server sends and Studio draws."""

from __future__ import annotations

import ast
import inspect
import json
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
    there = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    within = [node for node in there if _holds(node.body, places)]
    if not within:  # Python 3.12 does not say where a constant stands that is all that is given
        within = [node for node in there if _gives_constant(node, code)]
    if not within:
        if code.co_filename == "<string>":  # the text of `python -c`, and not what was evaluated
            return code.co_qualname
        return inspect.getsource(code).strip()
    innermost = max(within, key=lambda node: node.col_offset)
    return ast.get_source_segment(text, innermost) or inspect.getsource(code).strip()


def _holds(body: ast.expr, places: Sequence[tuple[int | None, ...]]) -> bool:
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return any(begin == (line, column) and end == (last, to) for line, last, column, to in places)


def _gives_constant(node: ast.Lambda, code: CodeType) -> bool:
    given, names = node.body, [item.arg for item in node.args.args]
    if not isinstance(given, ast.Constant) or names != list(code.co_varnames):
        return False
    constant = code.co_consts[-1]
    return type(constant) is type(given.value) and bool(constant == given.value)


def describe_nodes(spec: WorkflowSpec) -> list[Json]:
    """Return the graph of a workflow as Mastra serialises it."""
    return [node.drawn(_unit, source_of) for node in spec.nodes]


def _unit(unit: Unit) -> dict[str, Json]:
    if isinstance(unit, WorkflowNode):
        inner = {"serializedStepFlow": describe_nodes(unit.spec)}
        if unit.spec.drive is not None:
            return _made_of("agent", unit.id, unit.spec.made_of, unit.spec.description) | inner
        return _made_of("workflow", unit.id, unit.spec.id, unit.spec.description) | inner
    step = unit.step
    if unit.kind == "map":
        return {"type": "mapping", "id": step.id, "mapConfig": _map_config(unit)}
    if step.made_of is not None:
        kind = "agent" if step.component == "AGENT" else "tool"
        return _made_of(kind, step.id, step.made_of, step.description)
    described: dict[str, Json] = {"id": step.id}
    if step.description:
        described["description"] = step.description
    if step.metadata:
        described["metadata"] = dict(step.metadata)
    if step.component:
        described["component"] = step.component
    described["canSuspend"] = step.resume_schema is not None or step.suspend_schema is not None
    return {"type": "step", "step": described}


def _made_of(kind: str, node_id: str, source: str | None, text: str | None) -> dict[str, Json]:
    """Return an entry for what names the thing it runs."""
    described: dict[str, Json] = {"type": kind, "id": node_id, f"{kind}Id": source}
    if text:
        described["description"] = text
    return described


def _map_config(unit: StepNode) -> str:
    """Return what a map is made of: its function's source, or its sources as JSON."""
    if callable(unit.config):
        return source_of(unit.config)
    return json.dumps(unit.config, indent=2, ensure_ascii=False, default=_shown_source)


def _shown_source(value: object) -> Any:
    """Return what JSON has no form for as readers know it: a step by its id, a function by its text."""
    named = getattr(value, "id", None)
    if isinstance(named, str):
        return named
    return source_of(value) if callable(value) else repr(value)
