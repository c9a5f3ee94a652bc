"""The one progress bar: on standard error, and only where that is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cstm.console import make_console

Item = TypeVar("Item")


class Bar:
    """A bar that work under way moves."""

    def __init__(self, shown: Progress, title: str, total: int | None, done: int):
        self._shown = shown
        self._task = shown.add_task(title, total=total, completed=done)

    def to(self, done: int, title: str | None = None) -> None:
        """`done` of the total are done; a new title where one is given."""
        self._shown.update(self._task, completed=done, description=title)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._shown.advance(self._task, count)

    def title(self, text: str) -> None:
        """What is being done."""
        self._shown.update(self._task, description=text)

    def print(self, text: str) -> None:
        """A line above the bar; printed where there is no terminal too."""
        self._shown.console.print(text, highlight=False)


@contextmanager
def progress(
    title: str, total: int | None = None, done: int = 0, console: Console | None = None, shown: bool = True
) -> Iterator[Bar]:
    """A bar for the block, gone after it. total: None where nobody knows. shown: False for none."""
    console = console or make_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not shown or not console.is_terminal
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, transient=True, disable=hidden) as bars:
        yield Bar(bars, title, total, done)


def track(items: Iterable[Item], title: str, total: int | None = None, shown: bool = True) -> Iterator[Item]:
    """The items, with a bar that moves as they are taken. total: by default their number, where they have one."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    with progress(title, total, shown=shown) as bar:
        for item in items:
            yield item
            bar.advance()
