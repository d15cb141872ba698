"""The table that is printed: words and figures, no colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from bench.measure import FLAT, Row

__all__ = ["aligned", "render", "summary"]

HEADINGS = ("row", "ours", "limit", "ratio", "target", "reached", "at 10 x the size")


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.1f} {unit}" if abs(value) >= 10 else f"{value:.2f} {unit}"


def _cells(row: Row) -> tuple[str, ...]:
    if row.ratio is None:
        return (row.name, "-", "-", "-", row.target_text, f"not measured: {row.note}", "")
    reached = {True: "reached", False: "NOT REACHED", None: ""}[row.reached]
    flat = {True: "flat", False: "GROWS", None: ""}[row.is_flat]
    growth = "" if row.growth is None else f"{row.growth:.2f} x, {flat}"
    return (
        row.name,
        _figure(row.ours, row.unit),
        _figure(row.limit, row.unit),
        f"{row.ratio:.2f} x",
        row.target_text and f"at most {row.target_text}",
        reached,
        growth,
    )


def render(rows: Iterable[Row]) -> str:
    """Return the rows as one aligned table, in which each group has its heading."""
    lines: list[tuple[str, ...]] = []
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append((group.upper(),))
        lines.append(_cells(row))
    return "\n".join(aligned((HEADINGS, *lines)))


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of cells with their columns aligned; a line of one cell is a heading."""
    columns = range(len(lines[0]))
    widths = [max(len(line[column]) for line in lines if len(line) > 1) for column in columns]
    rule = ["-" * width for width in widths]
    return [_aligned(line, widths) for line in (lines[0], rule, *lines[1:])]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    if len(line) == 1:
        return f"\n{line[0]}"
    cells = [
        cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return what the rows say together, and how noisy the machine was."""
    judged = [row for row in rows if row.reached is not None]
    reached = sum(1 for row in judged if row.reached)
    grown = [row for row in rows if row.is_flat is not None]
    flat = sum(1 for row in grown if row.is_flat)
    spreads = [row.spread for row in rows if row.spread is not None]
    text = (
        f"{reached} of {len(judged)} targets reached; {flat} of {len(grown)} rows flat (at most "
        f"{FLAT} x the cost of a unit at ten times the size); {seconds:.0f} s."
    )
    if spreads:
        text += (
            f"\nNoise: half of the limit's samples lie within {median(spreads):.0%} of their "
            f"median (worst row {max(spreads):.0%})."
        )
    return text
