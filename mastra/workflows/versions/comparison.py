"""Whether a run may go on by a definition that is not the one it began with.

Its way so far must be there, unchanged: every node up to the one that it has reached, in that
order. What stands behind that may differ, and so may the arms of a branch that were not taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, cast

from mastra.jsonable import Json
from mastra.schema import Schema, SchemaMismatch
from mastra.workflows.active import State
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.places import place_of, stem_in, unit_at
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import StepNode, WorkflowNode, WorkflowSpec
from mastra.workflows.versions.changes import Changes
from mastra.workflows.versions.graph import Graph, Part, graph_of

__all__ = ["compare", "unknown_to"]


def unknown_to(spec: WorkflowSpec, loaded: LoadedRun) -> Changes:
    """Return which operations of a run a definition does not have.

    All that can be told of a run that has noted no definition: its operations are called by
    their positions, so that one which has moved is not there.
    """
    changes = Changes()
    for record in (*loaded.journal.values(), *loaded.blocks.values()):
        name = record.step_id.rpartition("/")[2]
        if record.kind == "decision" or _has(spec, record.op_id):
            continue
        nodes = (node for one in spec.with_nested() for node in one.nodes)
        is_there = any(unit.id == name for node in nodes for unit in node.units)
        found = changes.moved if is_there else changes.removed
        if name not in found:
            found.append(name)
    return changes


def _has(spec: WorkflowSpec, op_id: str) -> bool:
    for segment in op_id.split("/"):
        if place_of(spec, segment) is None:
            return False
        unit = unit_at(spec, segment)
        if not isinstance(unit, WorkflowNode) or unit.spec.drive is not None:
            return True
        spec = unit.spec
    return True


def compare(
    old: Graph, spec: WorkflowSpec, loaded: LoadedRun, *, goes_back_to: str | None, has_begun: bool
) -> Changes:
    """Return what differs in what a run has passed.

    Args:
        old: The graph that the run has noted.
        spec: The definition at hand.
        loaded: The run.
        goes_back_to: The operation that the run goes back to, forgetting what stands after it.
        has_begun: Whether the step after the last finished one may be under way.
    """
    comparison = _Comparison(loaded, has_begun=has_begun and loaded.is_under_way)
    new = graph_of(spec)
    comparison.block(old.parts, new.parts, spec, "", "", goes_back_to)
    if old.takes != new.takes and spec.validate_inputs:
        comparison.value(spec.input_schema, loaded.head.input, "", "input")
    if old.state != new.state and spec.state_schema is not None and goes_back_to is None:
        comparison.state(spec.state_schema, "")
    comparison.changes.find_moved(_names(old.parts), _names(new.parts))
    return comparison.changes


class _Comparison:
    """One comparison of one run."""

    def __init__(self, loaded: LoadedRun, *, has_begun: bool) -> None:
        self.changes = Changes()
        self._loaded = loaded
        self._has_begun = has_begun
        self._segments: dict[str, dict[str, None]] = defaultdict(dict)
        """Parts of the ids of known operations, by what stands before them."""
        for op_id in (*loaded.journal, *loaded.blocks):
            before = ""
            for segment in op_id.split("/"):
                self._segments[before][segment] = None
                before += f"{segment}/"
        # Where it went back to: in an earlier leg, or in the one that was cut off.
        for key in ("travel", "reopening"):
            stored = cast("dict[str, Any]", loaded.head.data.get(key) or {})
            if "op" in stored:
                self._segments[""].setdefault(stored["op"].partition("/")[0])

    # -- blocks ----------------------------------------------------------------------------------

    def block(
        self,
        old: list[Part],
        new: list[Part],
        spec: WorkflowSpec,
        prefix: str,
        names: str,
        goes_back_to: str | None,
        *,
        is_passed: bool = False,
    ) -> None:
        """Compare the nodes of a workflow, as far as the run has gone in it.

        Args:
            old: Its nodes as noted.
            new: Its nodes at hand.
            spec: The workflow at hand.
            prefix: What its operations' ids begin with.
            names: What its steps' names begin with.
            goes_back_to: The operation that the run goes back to, where that is in here.
            is_passed: Whether the run has gone beyond it, so that nothing may follow.
        """
        known = _by_stem(old, self._segments.get(prefix, {}))
        reached = self._reached(old, known, prefix)
        end, kept = reached + 1, reached + 1
        if goes_back_to is not None:
            target = place_of(spec, goes_back_to[len(prefix) :].partition("/")[0])
            end = kept = min(end, target or 0)
        elif is_passed and not self._has_bailed(known, prefix):
            end, kept = len(old), len(new)
        if not self._same(old, new, end, kept, known, prefix, names):
            return
        for index in range(min(end, len(new))):
            is_beyond = is_passed or index < reached or goes_back_to is not None
            self._node(old[index], new[index], spec, known, prefix, names, is_passed=is_beyond)
        if goes_back_to is None and not is_passed:
            self._next(old, new, spec, known, reached, prefix, names)
        elif goes_back_to is not None and end < min(len(old), len(new)):
            self._inside(old[end], new[end], spec, prefix, names, goes_back_to)

    def _reached(self, old: list[Part], known: dict[str, list[str]], prefix: str) -> int:
        """Return the index of the last node of which anything is known, -1 if there is none."""
        reached = -1
        for index, part in enumerate(old):
            if any(op in known for op in part.ops()):
                reached = index
        if reached < 0:
            return 0 if self._has_begun and old else -1
        if reached + 1 < len(old):
            is_branch = old[reached + 1].kind == "branch"
            if is_branch and self._decided(old, reached + 1, known, prefix) is not None:
                return reached + 1
            if self._has_begun and self._is_over(old, reached, known, prefix):
                return reached + 1
        return reached

    def _records(self, part: Part, known: dict[str, list[str]], prefix: str) -> list[StepRecord]:
        """Return the records of a step's tries, or of the turns of a loop and their ends.

        None of what was waited for between tries, nor of a state that was given.
        """
        journal = self._loaded.journal
        found = (journal.get(prefix + segment) for segment in known.get(part.op, ()))
        return [
            record
            for record in found
            if record is not None and (record.kind != "decision" or record.decision is not None)
        ]

    def _is_over(
        self, parts: list[Part], place: int, known: dict[str, list[str]], prefix: str
    ) -> bool:
        """Return whether a node has ended well, so that the next may have begun."""
        part = parts[place]
        if part.kind in ("dowhile", "dountil"):
            ends_on = part.kind == "dountil"
            return any(r.decision is ends_on for r in self._records(part, known, prefix))
        if part.kind == "foreach":
            return self._has_ended(prefix + part.op)
        units = part.units
        if part.kind == "branch":
            chosen = self._decided(parts, place, known, prefix) or ()
            units = [unit for unit in units if unit.id in chosen or unit.op in known]
        return all(
            self._has_ended(prefix + unit.op)
            or any(r.status == "success" for r in self._records(unit, known, prefix))
            for unit in units
        )

    def _has_ended(self, op_id: str) -> bool:
        record = self._loaded.journal.get(op_id) or self._loaded.blocks.get(op_id)
        return record is not None and record.status == "success"

    def _has_bailed(self, known: dict[str, list[str]], prefix: str) -> bool:
        journal = self._loaded.journal
        records = (journal.get(prefix + seg) for segments in known.values() for seg in segments)
        return any(record is not None and record.status == "bailed" for record in records)

    # -- whether the same nodes stand there --------------------------------------------------------

    def _same(
        self,
        old: list[Part],
        new: list[Part],
        end: int,
        kept: int,
        known: dict[str, list[str]],
        prefix: str,
        names: str,
    ) -> bool:
        """Return whether the first nodes are the same ones; note what differs if they are not."""
        pairs = zip(old[:end], new[:kept], strict=False)
        if end == kept and len(new) >= kept and all(_is_same(a, b) for a, b in pairs):
            fits = [self._arms(old, i, new[i], known, prefix, names) for i in range(end)]
            return all(fits)
        self._name_changes(old, new, end, kept, names)
        return False

    def _arms(
        self,
        parts: list[Part],
        place: int,
        new: Part,
        known: dict[str, list[str]],
        prefix: str,
        names: str,
    ) -> bool:
        """Return whether a node holds what it held, as far as the run has entered that."""
        old = parts[place]
        before = {unit.id: unit for unit in old.units}
        now = {unit.id: unit for unit in new.units}
        changes = len(self.changes.added) + len(self.changes.removed) + len(self.changes.moved)
        is_branch = old.kind == "branch"
        chosen = (self._decided(parts, place, known, prefix) or ()) if is_branch else ()
        for name, unit in before.items():
            is_entered = unit.op in known or not is_branch or name in chosen
            if not is_entered:
                continue
            if name not in now:
                self._add(self.changes.removed, names + name)
            elif now[name].op != unit.op:
                self._add(self.changes.moved, names + name)
        if not is_branch:
            for name in now.keys() - before.keys():
                self._add(self.changes.added, names + name)
        return changes == sum(
            map(len, (self.changes.added, self.changes.removed, self.changes.moved))
        )

    def _decided(
        self, parts: list[Part], place: int, known: dict[str, list[str]], prefix: str
    ) -> list[Any] | None:
        """Return the arms that a branch has chosen, `None` where it has not chosen yet.

        It says so itself, or the step before it does.
        """
        records = self._records(parts[place - 1], known, prefix) if place else []
        own = self._loaded.journal.get(f"{prefix}{parts[place].op}?")
        records += [] if own is None else [own]
        # A loop's turns have decisions, too: whether it goes on.
        found = [cast("Any", r.decision) for r in records if isinstance(r.decision, list)]
        return found[-1] if found else None

    def _name_changes(
        self, old: list[Part], new: list[Part], end: int, kept: int, names: str
    ) -> None:
        """Say how the nodes that the run has passed differ from those at hand."""
        before = [unit.id for part in old[:end] for unit in part.units]
        all_before = {unit.id for part in old for unit in part.units}
        all_now = {unit.id for part in new for unit in part.units}
        ids = [[unit.id for unit in part.units] for part in new]
        last = max((i for i, part in enumerate(ids) if {*part} & {*before}), default=-1)
        now = [name for part in ids[: last + 1] for name in part]
        now += [name for part in ids[last + 1 : kept] for name in part if name not in all_before]
        # From the end, so that of two that changed places the one that the run is at has stayed.
        from difflib import SequenceMatcher  # noqa: PLC0415 - only where a definition was changed

        match = SequenceMatcher(a=before[::-1], b=now[::-1], autojunk=False)
        gone, come = [*before[::-1]], [*now[::-1]]
        changes = self.changes
        for what, low, high, begin, stop in reversed(match.get_opcodes()):
            if what == "equal":
                continue
            for name in reversed(gone[low:high]):
                self._add(changes.moved if name in all_now else changes.removed, names + name)
            for name in reversed(come[begin:stop]):
                self._add(changes.moved if name in all_before else changes.added, names + name)
        kinds = _kinds(old[:end])
        for name, kind in _kinds(new).items():
            if name in kinds and kinds[name] != kind:
                changes.changed[names + name] = f"from {kinds[name]} to {kind}"
        if not changes:  # the same ids in other blocks
            for name in before:
                self._add(changes.moved, names + name)

    @staticmethod
    def _add(names: list[str], name: str) -> None:
        if name not in names:
            names.append(name)

    # -- what they take and give -------------------------------------------------------------------

    def _node(
        self,
        old: Part,
        new: Part,
        spec: WorkflowSpec,
        known: dict[str, list[str]],
        prefix: str,
        names: str,
        *,
        is_passed: bool,
    ) -> None:
        now = {unit.id: unit for unit in new.units}
        for unit in old.units:
            if unit.op in known and unit.id in now:
                for segment in known[unit.op]:
                    self._unit(
                        unit, now[unit.id], spec, prefix + segment, names, is_passed=is_passed
                    )

    def _unit(
        self, old: Part, new: Part, spec: WorkflowSpec, op_id: str, names: str, *, is_passed: bool
    ) -> None:
        """Compare a step or a workflow of which something is known."""
        name = names + old.id
        if old.kind != new.kind:
            self.changes.changed[name] = f"from {old.kind} to {new.kind}"
            return
        unit = unit_at(spec, new.op)
        if isinstance(unit, StepNode):
            record = self._loaded.journal.get(op_id)
            if record is not None and record.kind != "decision" and old.kind == "step":
                self._step(old, new, spec, unit, record, name)
        elif isinstance(unit, WorkflowNode) and old.kind == "workflow":
            inner, block = unit.spec, self._loaded.blocks.get(op_id)
            is_over = is_passed or (block is not None and block.status == "success")
            is_over = is_over or (op_id.endswith("]") and self._is_at_end(old.parts, f"{op_id}/"))
            if not is_over and old.takes != new.takes and block and inner.validate_inputs:
                self.value(inner.input_schema, block.payload, name, "input")
            if not is_over and old.state != new.state and inner.state_schema is not None:
                self.state(inner.state_schema, name)
            self.block(
                old.parts, new.parts, inner, f"{op_id}/", f"{name}.", None, is_passed=is_over
            )

    def _is_at_end(self, old: list[Part], prefix: str) -> bool:
        """Return whether the last node of an item or a turn has ended."""
        known = _by_stem(old, self._segments.get(prefix, {}))
        return (
            bool(old)
            and any(op in known for op in old[-1].ops())
            and self._is_over(old, len(old) - 1, known, prefix)
        )

    def _step(
        self,
        old: Part,
        new: Part,
        spec: WorkflowSpec,
        unit: StepNode,
        record: StepRecord,
        name: str,
    ) -> None:
        if record.status == "success":
            if old.gives != new.gives and spec.validate_outputs:
                self.value(unit.step.output_schema, record.output, name, "output")
            return
        waits, state = record.status in ("suspended", "retry"), unit.step.state_schema
        if waits and old.state != new.state and state is not None:
            self.state(state, name)
        if waits and old.takes != new.takes and spec.validate_inputs:
            self.value(unit.step.input_schema, record.payload, name, "input")

    def _next(
        self,
        old: list[Part],
        new: list[Part],
        spec: WorkflowSpec,
        known: dict[str, list[str]],
        reached: int,
        prefix: str,
        names: str,
    ) -> None:
        """Check that the step which comes next still takes the value that waits for it."""
        if prefix or not spec.validate_inputs or not self._loaded.is_under_way:
            return
        index, value = 0, self._loaded.head.input
        for place in range(min(reached, len(old) - 1), -1, -1):
            records = self._records(old[place], known, prefix)
            if not records and place == reached and old[place].kind in ("step", "workflow"):
                continue  # it is the one that comes next
            if not records or old[place].kind not in ("step", "map", "sleep"):
                return
            index, record = place + 1, records[-1]
            value = record.payload if record.kind == "sleep" else record.output
            if record.status not in ("success", "waiting"):
                return
            break
        if index >= min(len(old), len(new)) or old[index].id != new[index].id:
            return
        unit = unit_at(spec, new[index].op)
        if old[index].takes == new[index].takes or unit is None or new[index].kind == "foreach":
            return
        schema = unit.takes
        self.value(schema, value, names + new[index].id, "input")

    def value(self, schema: Schema[Any], value: Json, name: str, what: str) -> None:
        """Note it where a stored value does not meet a schema that has changed."""
        try:
            schema.unpack(value)
        except SchemaMismatch as mismatch:
            told = f"its {what} as stored does not fit: {mismatch}"
            self.changes.changed[name or what] = told

    def state(self, schema: Schema[Any], name: str) -> None:
        """Note it where the run's state does not meet a schema that has changed."""
        state = State(self._loaded.initial_state)
        for record in self._loaded.journal.values():
            state.merge(record)
        if state.values:  # else its steps are still to set it
            self.value(schema, state.values, name, "state")

    # -- going back --------------------------------------------------------------------------------

    def _inside(
        self, old: Part, new: Part, spec: WorkflowSpec, prefix: str, names: str, goes_back_to: str
    ) -> None:
        """Compare the node that the run goes back to, or into."""
        segment, slash, _ = goes_back_to[len(prefix) :].partition("/")
        known = _by_stem([old], self._segments.get(prefix, {}))
        stem = stem_in(dict.fromkeys(new.ops(), 0), segment)
        before = {unit.id: unit for unit in old.units}
        for now in new.units:
            was, unit = before.get(now.id), unit_at(spec, now.op)
            if was is None or was.op not in known:
                continue
            if now.op != stem:  # beside it, so its result is kept
                for each in known[was.op]:
                    self._unit(was, now, spec, prefix + each, names, is_passed=True)
            elif slash and isinstance(unit, WorkflowNode) and was.kind == now.kind == "workflow":
                inner = f"{prefix}{segment}/"
                names_in = f"{names}{now.id}."
                self.block(was.parts, now.parts, unit.spec, inner, names_in, goes_back_to)


def _is_same(old: Part, new: Part) -> bool:
    """Return whether two nodes are of a kind and, but for what a block holds, the same one."""
    return old.kind == new.kind and old.id == new.id


def _kinds(parts: Iterable[Part]) -> dict[str, str]:
    """Return what each id stands for: its own kind, or that of the loop or foreach around it."""
    kinds: dict[str, str] = {}
    for part in parts:
        is_around = part.kind in ("foreach", "dowhile", "dountil")
        for unit in part.units:
            kinds.setdefault(unit.id, part.kind if is_around else unit.kind)
    return kinds


def _names(parts: Iterable[Part], before: str = "") -> dict[str, str]:
    """Return the ids of all steps and workflows by the names that results give them."""
    found: dict[str, str] = {}
    for unit in (unit for part in parts for unit in part.units):
        if unit.kind not in ("map", "sleep"):  # whose ids may be of our making
            found[before + unit.id] = unit.id
        if unit.kind == "workflow":
            found |= _names(unit.parts, f"{before}{unit.id}.")
    return found


def _by_stem(parts: list[Part], segments: Iterable[str]) -> dict[str, list[str]]:
    """Return what is known of each operation of a block, by the name in the graph."""
    ops = {op: 0 for part in parts for op in part.ops()}
    found: dict[str, list[str]] = {}
    for segment in segments:
        found.setdefault(stem_in(ops, segment), []).append(segment)
    return found
