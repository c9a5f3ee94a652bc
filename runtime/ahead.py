"""Work done ahead, in a thread of its own, so that stages that follow one another run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2


def ahead(source: Iterable[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """The items of `source`, made in a thread, in their order, and then whatever it raises.

    depth: how many are made, at most, before they are asked for. Closing ends the thread, once the item that is being
    made is made, and closes `source` there.
    """
    made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
    room, stopped = threading.Semaphore(depth), threading.Event()
    thread = threading.Thread(target=_make, args=(source, made, room, stopped), daemon=True)
    thread.start()
    try:
        while (found := made.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            room.release()
            yield found[0]
    finally:
        stopped.set()
        room.release()
        thread.join()


def _make(
    source: Iterable[Item],
    made: SimpleQueue[tuple[Item] | BaseException | None],
    room: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    items = iter(source)
    try:
        while room.acquire() and not stopped.is_set():
            made.put((next(items),))
    except StopIteration:
        made.put(None)
    except BaseException as error:
        made.put(error)
    finally:
        if isinstance(items, Generator):
            items.close()
