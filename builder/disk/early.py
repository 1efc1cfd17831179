"""What a file is to hold goes to the drive while the rest of it is made, so that the sync at the end waits for less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from builder.exact import punch, start_writing
from builder.threads import Worker

# How much is begun between two looks at whether it is still wanted, in bytes.
_STEP = 16 << 20


@contextmanager
def written_early(fd: int, held: Sequence[tuple[int, int]]) -> Iterator[Callable[[], None]]:
    """Have the parts of a file that are `held`, (begin, end) in bytes and in order, written to the drive by a thread.

    The rest becomes holes, which are never written. Yields a function that waits until all has begun, and raises
    OSError.
    """
    ended = False
    errors: list[Exception] = []
    # The thread's own: where waiting for it is cut short, `fd` may be closed, and its number used for another file.
    own = [os.dup(fd)]

    def close() -> None:
        with suppress(IndexError):
            os.close(own.pop())

    def work() -> None:
        try:
            [fd], last = own, 0
            for begin, end in held:
                if ended:
                    return
                punch(fd, last, begin - last)
                last = end
            for position in range(0, last, _STEP):
                if ended:
                    return
                start_writing(fd, position, _STEP)
        except Exception as error:
            errors.append(error)
        finally:
            close()

    def settle() -> None:
        worker.join()
        worker.check()
        if errors:
            raise errors[0]

    worker = Worker(work)
    try:
        worker.start()
        yield settle
    finally:
        ended = True
        worker.join()
        if not worker.is_alive():
            # It may never have begun.
            close()
