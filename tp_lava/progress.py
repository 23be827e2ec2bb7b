"""Progress bars with rate and time left, on standard error while work is done; none where that is a pipe or a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tp_lava.tables import screen

T = TypeVar("T")
_REFRESH_SECONDS = 0.2


def _on_screen() -> bool:
    console = screen(stderr=True)
    return console.is_terminal or console.is_jupyter


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """-> a function that draws how many are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    title_column, rate_column = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
    columns = title_column, BarColumn(), MofNCompleteColumn(), rate_column, TimeRemainingColumn()
    with Progress(*columns, console=screen(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total, rate="")

        def draw(done: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=done, rate=f"{speed:.0f}/s" if speed else "")

        yield draw


def track(items: Iterable[T], total: int, title: str, show: bool, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Yield items; with `show`, draw a bar. size: what an item counts of the total."""
    if not show or not _on_screen():
        yield from items
        return
    with _bar(title, total) as draw:
        done = 0
        for item in items:
            yield item
            done += size(item)
            draw(done)


@contextmanager
def follow(title: str, total: int, done: Callable[[], int], show: bool) -> Iterator[None]:
    """While the block runs, draw a bar from done(), in a thread."""
    if not show or not _on_screen():
        yield
        return
    over = threading.Event()
    with _bar(title, total) as draw:

        def keep_drawing() -> None:
            while not over.wait(_REFRESH_SECONDS):
                draw(done())

        drawer = threading.Thread(target=keep_drawing, daemon=True)
        drawer.start()
        try:
            yield
        finally:
            over.set()
            drawer.join()
            draw(done())
