"""What is fuzzed: a parser as a function of bytes, with inputs that it takes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.fuzz.mutate import Mutate, of_bytes

from builder.errors import BuilderError

# In bytes: what an input may take beyond what the process has before.
MEMORY = 512 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """A parser: `run` gives it one input, and lets out nothing but BuilderError and, where it says so, `allowed`.

    `seeds` makes inputs to begin with. The current directory is empty, and `run` may write there what it overwrites.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    mutate: Mutate = of_bytes
    allowed: tuple[type[BaseException], ...] = ()
    memory: int = MEMORY


def text(data: bytes) -> str:
    """Read an input as what comes from the command line or a variable: bytes that are no UTF-8 are surrogates."""
    return data.decode("utf-8", "surrogateescape")


_elsewhere = 0.0


def took_elsewhere(seconds: float) -> None:
    """Say what a process that runs beside a target's own, and is not waited for, has taken of the processor so far."""
    global _elsewhere
    _elsewhere = seconds


def processor_time() -> float:
    """Give what this process has taken of the processor, in seconds, with all that it has started."""
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + started.ru_utime + started.ru_stime + _elsewhere


# What an input led to before its end, as `outcome` tells it; whoever runs a target empties it.
REFUSALS: list[object] = []


@contextmanager
def refused(*also: type[Exception]) -> Iterator[None]:
    """Go on behind a refusal, with what else the same input is given to."""
    foreseen: tuple[type[Exception], ...] = (BuilderError, *also)
    try:
        yield
    except foreseen as error:
        check(error)
        REFUSALS.append(outcome(error))


def check(error: BaseException) -> None:
    """Hold that a refusal is one line for people, and does not stand for a lack of memory."""
    assert str(error).isprintable(), f"{type(error).__name__} is no printable line: {str(error)!a}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise cause
        cause = cause.__cause__ or cause.__context__


def outcome(error: BaseException) -> object:
    """Tell errors apart by where they come from."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    # Of a recursion, the end says nothing.
    return type(error), tuple(places[-3:]) if len(places) < 100 else ()
