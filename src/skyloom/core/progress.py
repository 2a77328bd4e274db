"""Progress for whatever takes longer than two seconds: a bar in a terminal, a line every ten seconds elsewhere.

Flow  every step of every loop; silent for short work, so that callers need not decide.
"""

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
_QUIET_S: float = 2.0
_LINE_S: float = 10.0


class Bar:
    """Counts work; draws itself once the work has lasted two seconds."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._next_line = self._start + _LINE_S
        self._console = Console(stderr=True)
        self._progress: Progress | None = None

    def advance(self, count: int = 1) -> None:
        """Count `count` more items as done."""
        self._done += count
        now = time.monotonic()
        if self._console.is_terminal:
            self._draw(now)
        elif now >= self._next_line:
            self._next_line = now + _LINE_S
            of = f"/{self._total}" if self._total else ""
            sys.stderr.write(f"{self._label}: {self._done}{of} after {now - self._start:.0f} s\n")

    def close(self) -> None:
        """Stop drawing."""
        if self._progress is not None:
            self._progress.stop()

    def _draw(self, now: float) -> None:
        if self._progress is None and now - self._start >= _QUIET_S:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
            self._progress.add_task(self._label, total=self._total)
            self._progress.start()
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._done)


@contextmanager
def bar(label: str, total: int | None = None) -> Generator[Bar]:
    """`with bar("reading", 100) as done: done.advance()`."""
    shown = Bar(label, total)
    try:
        yield shown
    finally:
        shown.close()


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar."""
    with bar(label, total) as shown:
        for item in items:
            yield item
            shown.advance()
