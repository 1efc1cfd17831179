"""What is not to be left of something in this process: threads, and open files.

Their very last steps come after somebody has said that it is over, and on a busy machine a moment later; and what tests
before had may come to its end meanwhile.
"""

from __future__ import annotations

import _thread
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from support.processes import wait_until

_MOST = 1024  # descriptors


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Hold that there are no more threads in the end than there were, whoever has started them."""
    before = _thread._count()
    yield
    wait_until(lambda: _thread._count() <= before)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Hold that nothing is open in the end that was not."""
    before = _open()
    yield
    wait_until(lambda: before.issuperset(_open()))


def _open() -> set[int]:
    def is_open(fd: int) -> bool:
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            return False
        return True

    return {fd for fd in range(_MOST) if is_open(fd)}
