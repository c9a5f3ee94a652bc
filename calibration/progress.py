"""A bar for work that goes sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cstm.console import make_console


@contextmanager
def sample_progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A bar on standard error, where that is a terminal. Gives what updates it: the number done, and maybe a title."""
    console = make_console(stderr=True)
    columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, title=None: progress.update(task, completed=done, description=title)
