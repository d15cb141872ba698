"""A workflow's graph as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mastra.jsonable import Json

__all__ = ["drawn", "mermaid"]


def mermaid(nodes: list[Json]) -> str:
    """Return a serialised graph as a Mermaid flowchart."""
    return drawn(nodes, {})[0]


def drawn(nodes: list[Json], notes: Mapping[str, tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """Return a serialised graph as a Mermaid flowchart, and which step each node of it is.

    Args:
        nodes: The graph, as `stepGraph` and `serializedStepGraph` hold it.
        notes: By step (`price`, `orders.check`): what is written under its name, and the class that
            its node is given.

    Returns:
        The flowchart, and the steps by the ids of their nodes.
    """
    drawing = _Drawing(notes)
    drawing.line("flowchart TD")
    ends = drawing.chain(nodes, [drawing.node("([start])")])
    drawing.join(ends, drawing.node("([end])"))
    return "\n".join(drawing.lines), drawing.steps


class _Drawing:
    def __init__(self, notes: Mapping[str, tuple[str, str]]) -> None:
        self.lines: list[str] = []
        self.steps: dict[str, str] = {}
        self._notes = notes
        self._prefix = ""
        self._count = 0

    def line(self, text: str) -> None:
        self.lines.append(text)

    def node(self, shape: str) -> str:
        name = f"n{self._count}"
        self._count += 1
        self.line(f"    {name}{shape}")
        return name

    def join(self, ends: list[str], target: str, label: str = "") -> None:
        arrow = f"-->|{_quoted(label)}|" if label else "-->"
        for end in ends:
            self.line(f"    {end} {arrow} {target}")

    def chain(self, nodes: list[Json], ends: list[str]) -> list[str]:
        for node in nodes:
            ends = self.add(node, ends)
        return ends

    def add(self, node: Any, ends: list[str], label: str = "") -> list[str]:
        kind = node["type"]
        if kind in {"parallel", "conditional"}:
            return self._block(node, ends)
        unit = node.get("step", node) if kind in {"loop", "foreach"} else node
        nested = unit.get("serializedStepFlow")
        if nested:
            return self._nested(node, nested, ends, label)
        path = self._prefix + _name(node)
        note, kind_of = self._notes.get(path, ("", ""))
        made = self.node(_shape(node, note) + (f":::{kind_of}" if kind_of else ""))
        self.steps[made] = path
        self.join(ends, made, label)
        if kind == "loop":
            word = "while" if node["loopType"] == "dowhile" else "until"
            self.join([made], made, f"{word} {node['serializedCondition']['fn']}")
        return [made]

    def _block(self, node: Any, ends: list[str]) -> list[str]:
        conditions: list[dict[str, Json]] = node.get("serializedConditions") or []
        after: list[str] = []
        for place, inner in enumerate(node["steps"]):
            label = str(conditions[place]["fn"]) if place < len(conditions) else ""
            after += self.add(inner, ends, label)
        return after

    def _nested(self, node: Any, nested: list[Json], ends: list[str], label: str) -> list[str]:
        name, before = _name(node), self._prefix
        self._count += 1
        note = self._notes.get(before + name, ("", ""))[0]
        self.line(f"    subgraph s{self._count}[{_quoted(name, note)}]")
        begin = self.node("(( ))")
        self.steps[begin] = before + name
        self._prefix = f"{before}{name}."
        inner = self.chain(nested, [begin])
        self._prefix = before
        self.line("    end")
        self.join(ends, begin, label)
        return inner


def _name(node: Any) -> str:
    inner = node.get("step") or node
    inner = inner.get("step", inner)
    return str(inner.get("id", node["type"]))


def _shape(node: Any, note: str) -> str:
    name = _name(node)
    match node["type"]:
        case "sleep" | "sleepUntil":
            return f"{{{{{_quoted(name, note)}}}}}"
        case "mapping":
            return f"[/{_quoted(name, note)}/]"
        case "foreach":
            return f"[[{_quoted(f'for each: {name}', note)}]]"
        case _:
            return f"[{_quoted(name, note)}]"


def _quoted(text: str, note: str = "") -> str:
    return f'"{_escaped(text)}<br>{_escaped(note)}"' if note else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    flat = " ".join(text.split())
    shown = flat if len(flat) <= 60 else flat[:59] + "…"
    return shown.replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
