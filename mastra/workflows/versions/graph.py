"""A workflow's graph without its functions: what a run notes of the definition it began with.

As JSON it is one list: the fingerprints of its schemas, then its nodes, each a list of a letter
for its kind and what is in it. Names of operations are worked out again from the ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import field
from typing import Any, Final, cast

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.storage.base import RunHead
from mastra.workflows.places import OpNames
from mastra.workflows.spec import (
    Node,
    StepNode,
    Unit,
    WorkflowSpec,
)
from mastra.workflows.versions.fingerprint import fingerprint

__all__ = ["Graph", "Part", "graph_of", "is_current", "note_of", "read_graph"]

_FORMAT: Final = 1
_WITH_STATES: Final = 2
"""The format where steps or workflows inside have state schemas, which earlier releases cannot read."""

_KINDS: Final = {
    "s": "step",
    "m": "map",
    "w": "workflow",
    "v": "workflow",  # of which the version is noted
    "S": "step",  # these two with a schema of the state
    "W": "workflow",
    "a": "agent",
    "p": "parallel",
    "b": "branch",
    "f": "foreach",
    "z": "sleep",
}
"""What is written for a kind, where that is not its name, as it is of a loop or of a new kind."""
_NODES_AT: Final = {"w": 3, "v": 4, "W": 5}
"""Where the nodes of a workflow begin: behind its id and input, its version, its state."""
_LETTERS: Final = {kind: letter for letter, kind in _KINDS.items() if letter not in "vSW"}


@dataclass(slots=True)
class Part:
    """A node, or a unit of one."""

    kind: str
    """`step`, `map`, `workflow`, `agent`, `sleep`; `parallel`, `branch`, `foreach`, `dowhile`,
    `dountil` with units; as it is named in messages."""
    id: str
    op: str
    parts: list[Part] = field(default_factory=list[Any])
    """The units of a block; the nodes of a workflow."""
    takes: str = ""
    """Fingerprint of the schema of its input."""
    gives: str = ""
    """Fingerprint of the schema of its output."""
    version: str | None = None
    """Of a workflow: which of several definitions it is."""
    state: str = ""
    """Fingerprint of the schema of the state, of a step or workflow that has one of its own."""

    @property
    def units(self) -> list[Part]:
        """The steps, workflows and sleeps that it is or holds."""
        is_block = self.kind in ("parallel", "branch", "foreach", "dowhile", "dountil")
        return self.parts if is_block else [self]

    def ops(self) -> Iterator[str]:
        """Yield the names of its operations, without turns and items."""
        yield self.op
        for unit in self.units:
            yield unit.op


@dataclass(slots=True)
class Graph:
    """The graph of a whole workflow."""

    version: str | None
    takes: str
    """Fingerprint of the schema of its input."""
    state: str
    """Fingerprint of the schema of its state."""
    parts: list[Part]


# -- of a definition -----------------------------------------------------------------------------


def graph_of(spec: WorkflowSpec) -> Graph:
    """Return the graph of a definition."""
    return Graph(
        spec.version,
        fingerprint(spec.input_schema),
        fingerprint(spec.state_schema),
        [_part(node) for node in spec.nodes],
    )


def _part(node: Node) -> Part:
    units = [_unit(unit) for unit in node.units]
    if not units:
        return Part("sleep", node.id, node.op)
    is_unit = node.units[0] is node
    return units[0] if is_unit else Part(node.kind, node.id, node.op, units)


def _unit(unit: Unit) -> Part:
    if isinstance(unit, StepNode):
        if unit.kind == "map":
            return Part("map", unit.id, unit.op)
        takes, gives = unit.step.input_schema, unit.step.output_schema
        prints = fingerprint(takes), fingerprint(gives)
        return Part(
            "step", unit.id, unit.op, [], *prints, state=fingerprint(unit.step.state_schema)
        )
    spec = unit.spec
    if spec.drive is not None:
        return Part("agent", unit.id, unit.op)
    parts = [_part(node) for node in spec.nodes]
    takes, state = fingerprint(spec.input_schema), fingerprint(spec.state_schema)
    return Part("workflow", unit.id, unit.op, parts, takes, version=spec.version, state=state)


# -- as text -------------------------------------------------------------------------------------


def note_of(spec: WorkflowSpec) -> dict[str, Json]:
    """Return what the head of a run says of the definition that it goes by.

    Nothing, where its operations are called by position, as those of earlier releases.
    """
    note = spec.note
    if note is None:
        note = {} if spec.is_positional else {"graph": _text_of(graph_of(spec))}
        if note and spec.version is not None:
            note["version"] = spec.version
        object.__setattr__(spec, "note", note)  # worked out from what is frozen
    return note


def is_current(spec: WorkflowSpec, head: RunHead) -> bool:
    """Return whether a run has noted this very definition."""
    noted = head.data.get("graph")
    return noted is None or (noted, head.data.get("version")) == (
        note_of(spec).get("graph"),
        spec.version,
    )


def _text_of(graph: Graph) -> str:
    """Return a graph as text that can be compared."""
    prints: dict[str, int] = {}
    has_states = False

    def place(text: str) -> int:
        return prints.setdefault(text, len(prints))

    def written(part: Part) -> list[Any]:
        nonlocal has_states
        letter = _LETTERS.get(part.kind, part.kind)
        has_states = has_states or bool(part.state)
        match part.kind:
            case "step" if part.state:
                return ["S", part.id, place(part.takes), place(part.gives), place(part.state)]
            case "workflow" if part.state:
                places = place(part.takes), place(part.state)
                return ["W", part.id, places[0], part.version, places[1], *map(written, part.parts)]
            case "step":
                return [letter, part.id, place(part.takes), place(part.gives)]
            case "workflow" if part.version is not None:
                parts = map(written, part.parts)
                return ["v", part.id, place(part.takes), part.version, *parts]
            case "workflow":
                return [letter, part.id, place(part.takes), *map(written, part.parts)]
            case "map" | "agent" | "sleep":
                return [letter, part.id]
            case _:
                return [letter, *map(written, part.parts)]

    body = [place(graph.takes), place(graph.state), *map(written, graph.parts)]
    form = _WITH_STATES if has_states else _FORMAT
    return json.dumps([form, list(prints), *body], separators=(",", ":"), ensure_ascii=False)


def read_graph(text: str, version: str | None) -> Graph | None:
    """Return the graph that a run has noted, or `None` where a later release wrote it."""
    known = cast("list[Any]", json.loads(text))
    if known[0] not in (_FORMAT, _WITH_STATES):
        return None
    _, prints, takes, state, *nodes = known

    def unit(told: list[Any], names: OpNames) -> Part:
        kind, name = _KINDS[told[0]], told[1]
        op = names.name(name)
        match kind:
            case "step":
                state = prints[told[4]] if told[0] == "S" else ""
                return Part(kind, name, op, [], prints[told[2]], prints[told[3]], state=state)
            case "workflow":
                inner = _NODES_AT[told[0]]
                version = told[3] if inner > 3 else None
                state = prints[told[4]] if inner > 4 else ""
                return Part(
                    kind, name, op, block(told[inner:]), prints[told[2]], "", version, state
                )
            case _:
                return Part(kind, name, op)

    def node(told: list[Any], names: OpNames) -> Part:
        letter: str = told[0]
        kind = _KINDS.get(letter, letter)
        match kind:
            case "parallel" | "branch":
                units = [unit(each, names) for each in told[1:]]
                return Part(kind, "", names.name(f".{kind}"), units)
            case "step" | "map" | "workflow" | "agent" | "sleep":
                return unit(told, names)
            case _:
                only = unit(told[1], names)
                return Part(kind, only.id, only.op, [only])

    def block(told: list[Any]) -> list[Part]:
        names = OpNames()
        return [node(each, names) for each in told]

    return Graph(version, prints[takes], prints[state], block(nodes))
