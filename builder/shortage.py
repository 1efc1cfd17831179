"""What a machine runs out of while we work, said in this program's words wherever it shows."""

from __future__ import annotations

import errno
import mmap
import os
import resource

from builder.errors import BuilderError

_FILES = ("no more open files", "raise the limit (ulimit -n)")
_PROCESSES = ("no more processes and threads", "end some, or raise the limit (ulimit -u)")
_MEMORY = ("no more memory", "end other programs, or raise the limit (ulimit -v, or the container's)")

# How the loader of libraries, and OpenSSL, say that there is no more memory.
_OF_LIBRARIES = ("failed to map segment", "malloc failure", "MALLOC_FAILURE")

_OF_ERRNO = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _MEMORY,
}

# In bytes: what a thread's stack takes where no limit says it (glibc).
_STACK = 2 << 20


class Shortage(BuilderError):
    """This machine has, or gives this process, too little of something: memory, processes, open files."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"this machine gives us {what}; {advice}")
        self.what = what


# What exceptions may mean one.
LACKING = (MemoryError, OSError, RuntimeError, SystemError)


def unless_short(error: Exception) -> OSError:
    """Return an OSError that means no shortage. Raises Shortage for what means one, and any other error as it is."""
    if (short := shortage(error)) is not None:
        raise short from error
    if not isinstance(error, OSError):
        raise error
    return error


def shortage(error: BaseException) -> Shortage | None:
    """Say which shortage an exception means, if it means one."""
    # A SystemError is what the interpreter has to say of a MemoryError that it has lost.
    if isinstance(error, (MemoryError, SystemError)):
        return Shortage(*_MEMORY)
    if isinstance(error, OSError) and error.errno in _OF_ERRNO:
        return Shortage(*_OF_ERRNO[error.errno])
    # What loads libraries has only words for it, and those of the C library.
    if isinstance(error, (ImportError, OSError)):
        said = [number for number in _OF_ERRNO if os.strerror(number) in str(error)]
        if said or any(words in str(error) for words in _OF_LIBRARIES):
            return Shortage(*_OF_ERRNO[said[0] if said else errno.ENOMEM])
    # Threads have no exception of their own for it.
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return Shortage(*(_PROCESSES if stack_fits() else _MEMORY))
    return None


def stack_fits() -> bool:
    """Tell whether there is room for a thread's stack: the system does not say why it gives no thread."""
    size, _ = resource.getrlimit(resource.RLIMIT_STACK)
    try:
        mmap.mmap(-1, _STACK if size == resource.RLIM_INFINITY else max(size, mmap.PAGESIZE), mmap.MAP_PRIVATE).close()
    except (MemoryError, OSError):
        return False
    return True
