"""Runs a target in a process of its own, which may neither wait nor grow without end, and keeps what it finds."""

from __future__ import annotations

import faulthandler
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from support.fuzz import patience
from support.fuzz.reached import REACHED, words
from support.fuzz.target import REFUSALS, Target, check, outcome, processor_time

from builder.errors import BuilderError

# Inputs that were kept, by target: those that found something once, and what random changes do not come to.
CORPUS = Path(__file__).parents[2] / "fuzz/corpus"
# In bytes: what is in memory for who looks at an input that ended its process.
_BOARD = 64 << 20
# As much as documents may have: of more, objects of Python alone take what a parser is given.
_LARGEST = 4 << 20
# In bytes: what may be kept in memory of inputs that led to something new.
_POOL = 64 << 20
# Executions, microseconds of the processor in the parser and in all, and the length of an input.
_HEAD = struct.Struct("<QQQQ")
# Inputs, each with whether it was made by a change; what is sent says whether that led to something new.
Inputs = Generator[tuple[bytes, bool], bool, None]


@dataclass(frozen=True, slots=True)
class Find:
    """An input that a parser cannot stand, and how that showed."""

    target: str
    data: bytes
    said: str


@dataclass(slots=True)
class Result:
    """What came of a target: executions, the seconds of the processor that they took, and finds.

    `taken` is what all took, with the making of seeds and of changes. `further` are inputs that were made, and led to
    where those before had not been.
    """

    target: str
    executions: int = 0
    seconds: float = 0.0
    taken: float = 0.0
    finds: list[Find] = field(default_factory=list)
    further: list[bytes] = field(default_factory=list)

    def add(self, more: Result) -> None:
        """Count in what came of another turn."""
        self.executions += more.executions
        self.seconds += more.seconds
        self.taken += more.taken
        self.finds += more.finds
        self.further += more.further


@dataclass(frozen=True, slots=True)
class Share:
    """How long a target is tried: so many seconds of the processor, or longer for `least` executions."""

    seconds: float
    least: int = 0


def corpus_of(name: str) -> list[bytes]:
    """Give the inputs that were kept for a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def fuzz(name: str, target: Target, share: Share, seed: object, more: Sequence[bytes] = ()) -> Result:
    """Give a parser seeds, kept inputs, `more`, and changes of all of them, as many as its share has room for."""
    return _watched(name, target, lambda: _inputs(name, target, share, seed, more))


def repeat(name: str, target: Target, data: bytes) -> Result:
    """Give a parser one input."""

    def once() -> Inputs:
        yield data[:_LARGEST], False

    return _watched(name, target, once)


def _inputs(name: str, target: Target, share: Share, seed: object, more: Sequence[bytes]) -> Inputs:
    """Yield inputs, and whether they were made here; what led to something new, as is sent back, is changed further."""
    chosen = random.Random(f"{name} {seed}")
    pool = [data[:_LARGEST] for data in (*target.seeds(), *corpus_of(name), *more)]
    for data in pool:
        yield data, False
    known, room, count = words(), _POOL, len(pool)
    end = processor_time() + share.seconds
    while processor_time() < end or count < share.least:
        # What has led to something new last is the likeliest to lead further, and of two the shorter takes less time.
        among = pool if chosen.random() < 0.7 else pool[-16:]
        data = min(chosen.choice(among), chosen.choice(among), key=len)
        if chosen.random() < 0.05:
            other = chosen.choice(pool)
            data = data[: chosen.randrange(len(data) + 1)] + other[chosen.randrange(len(other) + 1) :]
        if known and chosen.random() < 0.2:
            data = _with_word(data, chosen.choice(known), chosen)
        data = target.mutate(data, chosen)[:_LARGEST]
        count += 1
        if (yield data, True) and len(data) < room:
            room -= len(data)
            pool.append(data)
            known = words()


def _with_word(data: bytes, word: bytes, chosen: random.Random) -> bytes:
    at = chosen.randrange(len(data) + 1)
    return data[:at] + word + data[at + chosen.choice((0, len(word))) :]


def _watched(name: str, target: Target, inputs: Callable[[], Inputs]) -> Result:
    """Run a target in a process, and find out what became of that."""
    result = Result(name)
    place = tempfile.mkdtemp(prefix="fuzz-")
    board = mmap.mmap(-1, _BOARD)
    with open(os.path.join(place, "said"), "w+") as said, open(os.path.join(place, "finds"), "w+b") as finds:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chdir(tempfile.mkdtemp(dir=place))
            _run(target, inputs(), board, said, finds)
        try:
            status = patience.wait(child, lambda: board[: _HEAD.size].strip(b"\0"))
        except BaseException:
            patience.end(child, signal.SIGKILL)
            os.waitpid(child, 0)
            shutil.rmtree(place)
            raise
        count, spent, taken, length = _HEAD.unpack_from(board)
        result.executions, result.seconds, result.taken = count, spent / 1e6, taken / 1e6
        finds.seek(0)
        for data, words in _kept(finds):
            if words:
                result.finds.append(Find(name, data, words))
            else:
                result.further.append(data)
        if status != 0:
            said.seek(0)
            ended = signal.Signals(-status).name if status < 0 else f"status {status}"
            data = bytes(board[_HEAD.size : _HEAD.size + length])
            result.finds.append(Find(name, data, f"{said.read()}\nthe process ended with {ended}"))
    # What it had started may have an end that takes a moment.
    shutil.rmtree(place, ignore_errors=True)
    return result


def _run(target: Target, inputs: Inputs, board: mmap.mmap, said: TextIO, finds: BinaryIO) -> None:
    """Be the process: give inputs to a target until they end. Does not return."""
    status = 1
    try:
        faulthandler.enable(said)
        # First the stack, then the end.
        faulthandler.register(signal.SIGPROF, said, chain=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        threading.excepthook = sys.unraisablehook = _note
        seen: set[object] = set()
        # Imports have reached something, too.
        REACHED[:] = bytes(len(REACHED))
        count, spent, reached = 0, 0, b""
        data, made = next(inputs)
        # Behind the making of seeds: mkfs.erofs writes far out.
        _limit(resource.RLIMIT_FSIZE, 1 << 30)
        while True:
            began = processor_time()
            _HEAD.pack_into(board, 0, count, spent, int(began * 1e6), len(data))
            board[_HEAD.size : _HEAD.size + len(data)] = data
            signal.setitimer(signal.ITIMER_PROF, patience.PATIENCE)
            # The making of inputs, which may take more, is not what is measured, and may have kept some of it.
            _limit(resource.RLIMIT_AS, _memory() + target.memory)
            found, fault = _outcome(target, data)
            _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
            signal.setitimer(signal.ITIMER_PROF, 0)
            count, spent = count + 1, spent + int((processor_time() - began) * 1e6)
            is_new = found not in seen
            seen.add(found)
            if is_new and fault:
                _keep(finds, data, fault)
            if further := reached != REACHED:
                reached = bytes(REACHED)
            if further and made:
                _keep(finds, data, "")
            data, made = inputs.send(is_new or further)
    except StopIteration:
        _HEAD.pack_into(board, 0, count, spent, int(processor_time() * 1e6), 0)
        status = 0
    except BaseException:
        traceback.print_exc(file=said)
    finally:
        said.flush()
        finds.flush()
        os._exit(status)


def _outcome(target: Target, data: bytes) -> tuple[object, str]:
    """Give one input to a target; tell what tells outcomes apart, and what is wrong with this one, if anything."""
    REFUSALS.clear()
    foreseen: tuple[type[BaseException], ...] = (BuilderError, *target.allowed)
    try:
        try:
            target.run(data)
        except foreseen as error:
            check(error)
            REFUSALS.append(outcome(error))
    except BaseException as error:
        return outcome(error), traceback.format_exc()
    # Of a thread that goes on after the input that it had, this is said of the next one.
    return _UNRAISED.pop(0) if _UNRAISED else (tuple(REFUSALS), "")


# What ended threads, and what destructors raised: people are shown it, and no caller hears of it.
_UNRAISED: list[tuple[object, str]] = []


def _note(said: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
    error = said.exc_value
    if error is not None:
        _UNRAISED.append((outcome(error), "".join(traceback.format_exception(error))))


def _limit(kind: int, size: int) -> None:
    """Let a process have no more of something, whatever it may have already; infinity is what it may have at most."""
    hard = resource.getrlimit(kind)[1]
    most = hard if size == resource.RLIM_INFINITY else size
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _keep(finds: BinaryIO, data: bytes, said: str) -> None:
    for part in (data, said.encode("utf-8", "replace")):
        finds.write(len(part).to_bytes(8, "big") + part)
    finds.flush()


def _kept(finds: BinaryIO) -> Iterator[tuple[bytes, str]]:
    while head := finds.read(8):
        data = finds.read(int.from_bytes(head, "big"))
        # Of a process that was ended, the last words may be cut off.
        yield data, finds.read(int.from_bytes(finds.read(8), "big")).decode(errors="replace")
