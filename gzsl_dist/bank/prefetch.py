"""A thread that works ahead of a loop, by a bounded number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Iterable[T], ahead: int) -> Iterator[T]:
    """Yield the items while a thread makes up to `ahead` of the next ones.

    Besides the item that the loop holds, no more than `ahead` exist at a time: the thread begins
    one only when there is room for it. An error of the items is raised in the loop.
    """
    room, stop = threading.Semaphore(ahead), threading.Event()
    made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue()

    def work() -> None:
        try:
            iterator = iter(items)
            while True:
                room.acquire()
                if stop.is_set():
                    return
                try:
                    made.put((True, next(iterator)))
                except StopIteration:
                    break
        except BaseException as error:  # the loop raises it
            made.put((False, error))
            return
        made.put((False, None))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            more, item = made.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            room.release()
            yield item  # type: ignore[misc]
            del item
    finally:
        stop.set()
        room.release()
        thread.join()
