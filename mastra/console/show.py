"""How things are shown: headings, states, moments, values, tables, graphs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from nicegui import ui

from mastra.server.mounted import outer_path
from mastra.workflows.mermaid import drawn

__all__ = ["STATES", "Graph", "ago", "below", "beside", "compare_two", "entry", "heading"]
__all__ += ["keep_drawn", "nothing", "show_json", "side", "span_of", "state_cell", "state_text"]
__all__ += ["table", "when"]

STATES: Final = {
    **dict.fromkeys(("success", "completed", "bailed"), ("✓", "positive")),
    **dict.fromkeys(("published", "succeeded", "active", "registered"), ("✓", "positive")),
    "running": ("▶", "info"),
    "waiting": ("◷", "info"),
    "pending": ("○", "grey"),
    **dict.fromkeys(("suspended", "paused"), ("‖", "warning")),
    **dict.fromkeys(("failed", "error", "aborted", "missing there"), ("✗", "negative")),
    "tripwire": ("⚑", "negative"),
    "canceled": ("⊘", "grey"),
}
"""A sign and a colour of each state; its name always stands beside them."""
_LONGEST: Final = 200_000  # characters of a value
_CELL: Final = """
<q-td :props="props" :data-label="props.col.label" :class="{ 'gt-xs': !props.value }">
  <local-time v-if="props.col.kind === 'at'" :at="props.value"></local-time>
  <span v-else-if="props.col.kind === 'state'" class="text-no-wrap"
    :class="'text-' + props.row.colour">{{ props.value }}</span>
  <a v-else-if="props.col.kind === 'link'" :href="props.row.href" class="mono">{{ props.value }}</a>
  <a v-else-if="props.col.kind === 'choice'" href="#" class="mono" @click.prevent>{{ props.value }}</a>
  <template v-else>{{ props.value }}</template>
</q-td>
"""  # of a choice the row is told
_MOST_NODES: Final = 150
"""Beyond it a drawing takes a browser seconds and shows nothing: the list of steps stays."""
_CLASSES: Final = {
    "success": "fill:#d7f0dd,stroke:#1b7f3b,color:#0b3d1b",
    "running": "fill:#d6eafa,stroke:#1668a8,color:#0a3556,stroke-width:3px",
    "waiting": "fill:#d6eafa,stroke:#1668a8,color:#0a3556,stroke-dasharray:5 3",
    "suspended": "fill:#fdeccf,stroke:#b26a00,color:#573400,stroke-width:3px",
    "failed": "fill:#fadcda,stroke:#b3261e,color:#5c120e,stroke-width:3px",
}
_CONFIG: Final = {"theme": "neutral", "securityLevel": "strict"}
Shown = TypeVar("Shown", bound=ui.element)


def beside() -> ui.row:
    """Begin a row of parts, which stand below each other where it is narrow."""
    return ui.row().classes("w-full items-start gap-6")


def side(basis: str = "basis-80") -> ui.column:
    """Begin one part of a row."""
    return ui.column().classes(f"grow {basis} min-w-0")


def entry(shown: Shown) -> Shown:
    """Lay a field out as fields of forms are."""
    shown.props("outlined dense").classes("w-full")
    return shown


def heading(text: str, level: int = 2) -> ui.label:
    """Write a heading."""
    size = {1: "text-2xl", 2: "text-xl", 3: "text-base"}[level]
    label = ui.label(text).classes(f"{size} font-semibold")
    return label.props(f"role=heading aria-level={level}")


def nothing(text: str, icon: str = "info") -> ui.row:
    """Say why there is nothing to see."""
    with ui.row().classes("items-center gap-2 opacity-80 no-wrap") as row:
        ui.icon(icon).classes("text-2xl")
        ui.label(text)
    return row


def state_text(status: str) -> str:
    """Return a state's sign and name."""
    return f"{STATES.get(status, ('•', ''))[0]} {status}"


def state_cell(status: str) -> dict[str, str]:
    """Return what a row of a table has of a state."""
    return {"state": state_text(status), "colour": STATES.get(status, ("•", ""))[1]}


def when(moment: Any) -> None:
    """Show a moment (ISO 8601, or milliseconds since 1970) in the reader's zone."""
    ui.element("local-time").props["at"] = str(moment)


def span_of(started: float | None, ended: float | None) -> str:
    """Return how long something took, of milliseconds since 1970."""
    return "" if started is None or ended is None else ago(ended - started)


def ago(ms: float) -> str:
    """Return a duration in milliseconds as people say it."""
    if ms < 60_000:
        return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min {seconds} s"


async def keep_drawn(changed: asyncio.Event, draw: Callable[[], None], pause_s: float) -> None:
    """Draw soon after something has changed, also where nothing follows it for long."""
    while True:
        await changed.wait()
        changed.clear()
        began = time.monotonic()
        draw()
        # Drawing takes a quarter of the time at most, however much there is.
        await asyncio.sleep(max(pause_s, 3 * (time.monotonic() - began)))


def show_json(value: Any, what: str = "") -> None:
    """Show a value as JSON; of a huge one the beginning."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    rest = f"\n… {len(text)} characters in all" if len(text) > _LONGEST else ""
    text = text[:_LONGEST].replace("\\n", "\\n\n") + rest  # each line of a text is to be read
    if what:
        heading(what, 3)
    ui.label(text).classes("mono json rounded bg-gray-500/10 q-pa-sm w-full").props("tabindex=0")


def below() -> str:
    """Return what a browser's addresses of the console begin with; NiceGUI's own links add it."""
    return outer_path(cast("Any", ui.context.client.request).scope)


def table(columns: dict[str, str], rows: list[dict[str, Any]], **kinds: str) -> ui.table:
    """Show rows, each with an `id`, and `href` where a column is a link; `columns` by their keys.

    `kinds` are of columns that are a `state`, a moment (`at`), a `link`, or a `choice`.
    """
    if not rows and "choice" not in kinds.values():
        nothing("None.")
    shown: list[dict[str, Any]] = [
        {"href": below() + row.get("href", ""), **{k: row.get(k) for k in ("id", *columns)}}
        for row in rows
    ]
    for row in shown:
        row.update({k: "yes" if item else "" for k, item in row.items() if isinstance(item, bool)})
        row.update(state_cell(row["state"]) if "state" in row else {})
    told = [
        {"name": key, "label": text, "field": key, "kind": kinds.get(key), "align": "left"}
        for key, text in columns.items()
    ]
    made = ui.table(rows=shown, columns=told, column_defaults={"sortable": True}, row_key="id")
    made.props('flat bordered dense :rows-per-page-options="[0]" hide-pagination wrap-cells')
    made.classes("w-full").set_visibility(bool(rows) or "choice" in kinds.values())
    made.add_slot("body-cell", _CELL)
    return made


def compare_two(chosen_of: ui.table, url: Callable[[str, str], str]) -> None:
    """Let two rows of a table be chosen, and go where they are compared, the older first."""
    table: Any = chosen_of.set_selection("multiple")
    box = '<q-checkbox v-model="props.selected" dense :aria-label="`Choose ${props.key}`" />'
    table.add_slot("body-selection", box)
    table.add_slot("header-selection", "<span></span>")

    def compare() -> None:
        if len(table.selected) == 2:
            chosen = [row["id"] for row in table.rows if row in table.selected]
            ui.navigate.to(url(chosen[1], chosen[0]))
        else:
            ui.notify("Choose two of them.", type="warning")

    button = ui.button("Compare two", icon="compare", on_click=compare)
    button.props("flat no-caps").classes("self-start")


class Graph:
    """The drawing of a workflow's graph; `on_step` is told the path of a step that is clicked."""

    def __init__(self, nodes: list[Any], on_step: Callable[[str], None] | None = None) -> None:
        self._nodes = nodes
        text, steps = self._text({})
        self._drawing: ui.mermaid | None = None
        if len(steps) > _MOST_NODES:
            nothing(f"{len(steps)} steps are too many to draw.")
            return

        def clicked(event: Any) -> None:
            # Versions of Mermaid differ in what they put before the name that a node has in the text.
            path = steps.get(event.node_id.rpartition("-")[2])
            if path is not None and on_step is not None:
                on_step(path)

        choose = None if on_step is None else clicked  # else what does nothing looks as if it did
        with ui.element("figure").classes("graph w-full rounded bg-white text-black q-pa-sm"):
            self._drawing = ui.mermaid(text, config=_CONFIG, on_node_click=choose)

    def show(self, states: Mapping[str, tuple[str, str]]) -> None:
        """Write into the nodes of steps, by path, their status and what else is to be read."""
        if self._drawing is not None:
            text = self._text(states)[0]
            if text != self._drawing.content:
                self._drawing.set_content(text)

    def _text(self, states: Mapping[str, tuple[str, str]]) -> tuple[str, dict[str, str]]:
        notes = {
            path: (f"{state_text(status)} {more}".strip(), status)
            for path, (status, more) in states.items()
        }
        text, steps = drawn(self._nodes, notes)
        classes = (f"    classDef {name} {style}" for name, style in _CLASSES.items())
        return "\n".join([text, *classes]), steps
