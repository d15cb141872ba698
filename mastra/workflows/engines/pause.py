"""Runs that go step by step: one step a leg, then they are paused.

The turns of a loop and the items of a foreach over a step are one step, as in the original.
"""

from __future__ import annotations

from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Halt

__all__ = ["pause_before"]


def pause_before(run: ActiveRun, op_id: str, *, claims: bool = False) -> None:
    """End the walk here if this leg has run its one step.

    Args:
        run: A run that goes step by step.
        op_id: What is about to be walked. Nothing ends before what is known already.
        claims: Whether it is a step, and so the one that this leg runs.

    Raises:
        Halt: The leg has run its step, or another branch is running it.
    """
    entry = _entry_of(op_id)
    if entry == run.stepping or (run.has_begun(op_id) and op_id not in run.open_ops):
        return
    if run.stepping is not None or _has_stepped(run, entry):
        raise Halt("paused")
    if claims:
        run.stepping = entry


def _entry_of(op_id: str) -> str:
    """Return what an operation counts as: `2.a` for each turn `2.a[3]` and each try `2.a[3]#1`."""
    op_id = op_id.partition("#")[0]
    return op_id.rpartition("[")[0] if op_id.endswith("]") else op_id


def _has_stepped(run: ActiveRun, entry: str) -> bool:
    # Told by the journal, since a durable engine walks anew after each operation.
    target = run.reopening.target
    if target is not None and not target.op_ids <= run.open_ops:
        return True
    base = run.base_ops
    return any(
        op not in base and record.kind != "decision" and _entry_of(op) != entry
        for op, record in run.journal.items()
    )
