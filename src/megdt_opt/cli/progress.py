"""Progress bars for anything above two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(console: Console, text: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar; call what it yields with (done, total) and, if known, what runs now."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(text, total=total)

        def update(done: int, of: int, now: str = "") -> None:
            bar.update(task, completed=done, total=of, description=f"{text}: {now}" if now else text)

        yield update
