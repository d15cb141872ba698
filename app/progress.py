"""What the terminal shows of a run: steps on standard error, the plan on standard output.

While a step says nothing a spinner counts its seconds; it goes before the first piece of text
comes, so the two never share a line, and it is not drawn at all where standard error is a file.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["RunView"]


class RunView:
    """Shows the events of a run as they come.

    Args:
        console: Standard error.
        show_text: Whether to write the plan to standard output while it arrives.
    """

    def __init__(self, console: Console, *, show_text: bool = True) -> None:
        self._console = console
        self._show_text = show_text
        self._started: dict[str, float] = {}
        self._spinner: Progress | None = None
        self._is_line_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._quiet()
        self._end_line()

    def note(self, message: str) -> None:
        """Say something beside the steps."""
        self._print(Text(message, style="yellow"))

    def show(self, event: Any) -> None:
        """Show one event."""
        payload = event.payload
        match event.type:
            case "workflow-step-start" if not _is_glue(payload.id):
                self._start(payload.id)
            case "workflow-step-output" if self._show_text and isinstance(payload.output, str):
                self._write(payload.output)
            case "workflow-step-result" if not _is_glue(payload.id):
                self._finish(payload.id, payload.status)
            case _:
                pass

    def _start(self, step_id: str) -> None:
        self._started[step_id] = time.monotonic()
        if self._console.is_terminal:
            self._quiet()
            self._spinner = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._spinner.add_task(step_id, total=None)
            self._spinner.start()
        else:
            self._print(Text(f"… {step_id}"))

    def _finish(self, step_id: str, status: str) -> None:
        seconds = time.monotonic() - self._started.get(step_id, time.monotonic())
        mark, style = ("✓", "green") if status == "success" else ("✗", "red")
        line = Text.assemble((mark, style), f" {step_id}", (f" {seconds:.1f} s", "dim"))
        if status != "success":
            line.append(f" {status}", style)
        self._quiet()
        self._print(line)

    def _write(self, text: str) -> None:
        self._quiet()
        sys.stdout.write(text)
        # Otherwise a pipe would hold the words back until some kilobytes have come together.
        sys.stdout.flush()
        self._is_line_open = not text.endswith("\n")

    def _print(self, line: Text) -> None:
        self._end_line()
        console = self._spinner.console if self._spinner is not None else self._console
        console.print(line, soft_wrap=True)

    def _end_line(self) -> None:
        if self._is_line_open:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._is_line_open = False

    def _quiet(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _is_glue(step_id: str) -> bool:
    """Return whether an entry is a map without a name, which takes no time worth telling."""
    return step_id.startswith("mapping_")
