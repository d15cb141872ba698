"""A workflow's graph as a Mermaid flowchart."""

from __future__ import annotations

from typing import Any

from mastra.jsonable import Json

__all__ = ["mermaid"]


def mermaid(nodes: list[Json]) -> str:
    """Return a serialised graph as a Mermaid flowchart."""
    drawing = _Drawing()
    drawing.line("flowchart TD")
    ends = drawing.chain(nodes, [drawing.node("([start])")])
    drawing.join(ends, drawing.node("([end])"))
    return "\n".join(drawing.lines)


class _Drawing:
    def __init__(self) -> None:
        self.lines: list[str] = []
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
        nested = node.get("serializedStepFlow") or node.get("step", {}).get("serializedStepFlow")
        if nested:
            return self._nested(node, nested, ends, label)
        made = self.node(_shape(node))
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
        name = _name(node)
        self._count += 1
        self.line(f"    subgraph s{self._count}[{_quoted(name)}]")
        begin = self.node("(( ))")
        inner = self.chain(nested, [begin])
        self.line("    end")
        self.join(ends, begin, label)
        return inner


def _name(node: Any) -> str:
    inner = node.get("step") or node
    inner = inner.get("step", inner)
    return str(inner.get("id", node["type"]))


def _shape(node: Any) -> str:
    name = _name(node)
    match node["type"]:
        case "sleep" | "sleepUntil":
            return f"{{{{{_quoted(name)}}}}}"
        case "mapping":
            return f"[/{_quoted(name)}/]"
        case "foreach":
            return f"[[{_quoted(f'for each: {name}')}]]"
        case _:
            return f"[{_quoted(name)}]"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    shown = flat if len(flat) <= 60 else flat[:59] + "…"
    return '"' + shown.replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;") + '"'
