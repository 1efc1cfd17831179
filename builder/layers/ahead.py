"""Stages of a pipeline that run side by side: one reads ahead in a thread of its own, or looks on from one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from builder.threads import Worker

T = TypeVar("T")

# In seconds: how often is looked whether the thread whose item is waited for is there.
_LOOK = 1.0


def ahead(
    items: Iterable[T], depth: int = 4, interrupted: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Yield `items`, which a thread produces up to `depth` ahead of whoever takes them.

    An exception of `items` is raised at its place in the stream. When this generator is closed or exhausted, the
    thread has ended, and has closed `items` if they can be closed: at the latest when the step that `items` is
    in is done. `items` runs in that thread only, so closing belongs to the last stage of a pipeline first. Where a step
    may take for ever, `interrupted` ends it: it is called when a signal's exception comes here first.
    """
    stage = _Stage(items, depth)
    relayed = False
    try:
        stage.thread.start()
        while True:
            kind, item = stage.next()
            if kind is _END:
                return
            if kind is _ERROR:
                relayed = True
                raise item  # type: ignore[misc]
            stage.room.release()
            yield item  # type: ignore[misc]
            del item  # a chunk is large, and the next one may be long in coming
    except GeneratorExit:
        raise
    except BaseException:
        if not relayed:
            interrupted()
        raise
    finally:
        stage.stopped = True
        stage.room.release()
        stage.thread.join()


def aside(items: Iterable[T], take: Callable[[T], None], depth: int = 8) -> Generator[T, None, None]:
    """Yield `items` as they are, while a thread has `take` called with each in turn, up to `depth` behind.

    What `take` raises is raised here, in the place of a later item or of the end. When this generator is exhausted, all
    are taken; when it is closed or exhausted, the thread has ended.
    """
    onlooker = _Onlooker(take, depth)
    try:
        onlooker.thread.start()
        for item in items:
            onlooker.show(item)
            yield item
            del item  # a chunk is large, and the next one may be long in coming
    finally:
        onlooker.end()
    onlooker.judge()


def batches(chunks: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield `chunks` in lists of at least `size` bytes, to be handed over at once; the last one may be smaller."""
    batch: list[bytes] = []
    gathered = 0
    for chunk in chunks:
        batch.append(chunk)
        gathered += len(chunk)
        if gathered >= size:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch


class _Onlooker(Generic[T]):
    """What the two threads share. The queue has no bound of its own: `room` bounds the items in it."""

    def __init__(self, take: Callable[[T], None], depth: int) -> None:
        self.thread = Worker(self._run)
        self._take = take
        self._queue: SimpleQueue[tuple[str, T | None]] = SimpleQueue()
        self._room = threading.Semaphore(depth)
        self._error: BaseException | None = None

    def show(self, item: T) -> None:
        """Hand the next item over, once there is room. Raises what has gone wrong so far."""
        while self.thread.is_alive() and not self._room.acquire(timeout=_LOOK):
            pass
        self.judge()
        self._queue.put((_ITEM, item))

    def judge(self) -> None:
        """Raise what has gone wrong so far; MemoryError if the thread has gone without a word."""
        if self._error is not None:
            raise self._error
        self.thread.check()

    def end(self) -> None:
        """Wait until all that was shown is taken, or one thing could not be."""
        self._queue.put((_END, None))
        self.thread.join()

    def _run(self) -> None:
        try:
            while (shown := self._queue.get())[0] is not _END:
                self._take(shown[1])  # type: ignore[arg-type]
                del shown
                self._room.release()
        except BaseException as error:
            # This takes no memory: the error may be that there is none.
            self._error = error


_ITEM, _ERROR, _END = "item", "error", "end"


class _Stage(Generic[T]):
    """What the two threads share. The queue has no bound of its own: `room` bounds the items in it."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self.queue: SimpleQueue[tuple[str, T | BaseException | None]] = SimpleQueue()
        self.room = threading.Semaphore(depth)
        self.stopped = False
        self.thread = Worker(lambda: self._run(items))

    def next(self) -> tuple[str, T | BaseException | None]:
        """Wait for what the thread says next. Raises MemoryError if it has gone without a word."""
        while True:
            alive = self.thread.is_alive()
            try:
                return self.queue.get(alive, _LOOK)
            except Empty:
                if not alive:
                    raise MemoryError("a thread ended before its work") from None

    def _run(self, items: Iterable[T]) -> None:
        try:
            self._produce(items)
        except BaseException as error:
            self.queue.put((_ERROR, error))
        else:
            self.queue.put((_END, None))

    def _produce(self, items: Iterable[T]) -> None:
        try:
            if self.stopped:
                return
            for item in items:
                self.room.acquire()
                if self.stopped:
                    return
                self.queue.put((_ITEM, item))
                del item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
