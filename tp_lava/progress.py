"""Progress: one bar with rate and time left, on standard error, gone when it is done; none where nobody looks, in a pipe or a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_REFRESH_SECONDS = 0.2


def _looked_at() -> bool:
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


def _bar():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def track(items: Iterable[T], total: int, title: str, show: bool) -> Iterator[T]:
    """Yield items; with `show`, draw a bar."""
    if not show or not _looked_at():
        yield from items
        return
    with _bar() as bar:
        task = bar.add_task(title, total=total, rate="")
        for item in items:
            yield item
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f"{speed:.0f}/s" if speed else "")


@contextmanager
def follow(title: str, total: int, done: Callable[[], int], show: bool) -> Iterator[None]:
    """While the block runs elsewhere, draw a bar from done()."""
    if not show or not _looked_at():
        yield
        return
    over = threading.Event()
    with _bar() as bar:
        task = bar.add_task(title, total=total, rate="")

        def draw() -> None:
            while not over.wait(_REFRESH_SECONDS):
                speed = bar.tasks[0].speed
                bar.update(task, completed=done(), rate=f"{speed:.0f}/s" if speed else "")

        drawer = threading.Thread(target=draw, daemon=True)
        drawer.start()
        try:
            yield
        finally:
            over.set()
            drawer.join()
            bar.update(task, completed=done())
