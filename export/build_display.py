"""How a build is seen: a bar in a terminal, a line for each step elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class BuildDisplay:
    """A context manager."""

    def __init__(self, console: Console):
        self.console = console
        columns = (SpinnerColumn(), TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn())
        hidden = not console.is_terminal
        self._bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden)
        self._task = self._bar.add_task("", total=None)

    def expect(self, total: int) -> None:
        """So many steps there will be."""
        self._bar.update(self._task, total=total)

    def begins(self, label: str) -> None:
        """As Shown.begins."""
        self._bar.update(self._task, description=label)

    def ended(self, label: str, seconds: float | None) -> None:
        """As Shown.ended."""
        self._bar.advance(self._task)
        if not self.console.is_terminal:
            self.tell(f"{label}: unchanged" if seconds is None else f"{label}: {seconds} s")

    def tell(self, text: str) -> None:
        """A line for the user."""
        self.console.print(text, highlight=False)

    def __enter__(self) -> BuildDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.stop()
