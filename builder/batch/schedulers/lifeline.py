"""What tells builds, in whatever process of this machine, that somebody still wants their disk."""

from __future__ import annotations

import fcntl
import os

from builder.files.descriptors import check_descriptors, nameless


class Lifeline:
    """A file without a name, found through /proc, that this process holds locked until it lets go of it.

    It ends with this process, whatever ends that, and leaves nothing behind. Raises MissingRequirement without /proc.
    """

    def __init__(self) -> None:
        check_descriptors()
        self._fd = nameless("lifeline")
        # Of this process alone: a lock of flock's would live on in processes that it forks.
        fcntl.lockf(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        """Close it, once nobody looks for it any more."""
        os.close(self._fd)

    @property
    def path(self) -> str:
        """Where other processes find it, as long as it is there."""
        return path_for_others(self._fd)

    def cut(self) -> None:
        """Let go of the lock, which ends the builds. The file stays open, so that no other gets its number."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN)


def path_for_others(fd: int) -> str:
    """Return the path at which other processes find what is open here as `fd`, as long as this one is there."""
    return f"/proc/{os.getpid()}/fd/{fd}"
