"""Decoded layers, each in a file named after its diff_id, and who makes one that is missing.

A maker writes a file of another name, which it holds locked, and renames it when it is complete; others that want the
layer wait for the lock. A maker that is killed loses its lock: the next one takes over and begins anew. Users of a
layer share a lock on its file, so that it is not removed to make room; if it is removed all the same, an open file
outlives its name.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from builder.decoded import layer_file
from builder.decoded.content import Checksums, Content, Damaged, Unkept, verify
from builder.image.digest import Digest
from builder.layers.account import Taken
from builder.signals import signals_held
from builder.tree.entries import Entries
from builder.tree.spool import Lent, Spool

LAYER = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})(\.making)?")
_MAKING = ".making"
# Not through symlinks, and without waiting for the other end of a fifo.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Kept:
    """A layer of the cache, open and verified: what it takes, and for which `blob` it holds, if not for all."""

    fd: int
    decoded: layer_file.Decoded

    @property
    def taken(self) -> Taken:
        """What it takes of the limits."""
        return self.decoded.head.taken

    @property
    def blob(self) -> str:
        """The packed form for which its entries hold; empty if for all."""
        return self.decoded.head.blob

    def lend(self, spool: Spool) -> Entries:
        """Give its content to a spool, which closes it, and return its entries. Raises Damaged, OSError."""
        return layer_file.entries(self.fd, self.decoded, _lend(self.fd, self.decoded.content, spool))

    def close(self) -> None:
        """Let go of a layer that is not lent."""
        os.close(self.fd)


class Claim:
    """The right to make a layer, and the file for it; given back at the end of the context, made or not."""

    def __init__(self, directory: int, diff_id: Digest, fd: int) -> None:
        self._checksums = Checksums()
        self.spool = Spool(fd, self._checksums.take)
        self._directory = directory
        self._diff_id = diff_id
        self._fd = fd
        self._lent = False
        self._published = False

    def publish(self, most: int, blob: str, taken: Taken, entries: Entries) -> None:
        """Keep the layer whose content is in the spool, once it is verified, if it takes `most` bytes at most.

        Raises Unkept, OSError.
        """
        fd = self.spool.fd
        # It would push out everything else, and then itself.
        if os.fstat(fd).st_blocks * 512 > most:
            raise Unkept
        content = self._content()
        if not content.is_for_keeping():
            raise Unkept
        layer_file.write(fd, str(self._diff_id), blob, taken, content, entries)
        name = _name(self._diff_id)
        os.rename(name + _MAKING, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._published = True
        # From here on it is in use, and those who wait for it may use it, too.
        fcntl.flock(fd, fcntl.LOCK_SH)

    def lend(self, spool: Spool, entries: Entries) -> None:
        """Give the content to a spool, which closes it, and let the entries say where it is there. Raises OSError."""
        entries.move(_lend(self.spool.fd, self._content(), spool))
        self._lent = True

    def _content(self) -> Content:
        return Content(self.spool.end, self.spool.runs, self._checksums.sums)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._published:
            name = _name(self._diff_id) + _MAKING
            with suppress(OSError):
                # An interrupt may come when it has its other name already, and the next maker's file has this one.
                if is_named(self._fd, self._directory, name):
                    os.unlink(name, dir_fd=self._directory)
                # Not as long as it has this name: the next maker would empty what is lent.
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        if not self._lent:
            os.close(self._fd)


class LayerCache:
    """The layers in the open directory `directory`, which it closes."""

    def __init__(self, directory: int) -> None:
        self.directory = directory

    def find(self, diff_id: Digest) -> Kept | None:
        """Open a layer of the cache, all of it read and verified; None where it is not there.

        Raises Damaged if it is not what was put there, and removes it then; OSError.
        """
        try:
            fd = os.open(_name(diff_id), _READ, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise Damaged("it is no file of this user's")
            decoded = layer_file.read(fd, status.st_size, str(diff_id))
            verify(fd, decoded.content)
            # What was used longest ago goes first.
            with suppress(OSError):
                os.utime(fd)
        except BaseException as error:
            if isinstance(error, Damaged) and is_named(fd, self.directory, _name(diff_id)):
                with suppress(OSError):
                    os.unlink(_name(diff_id), dir_fd=self.directory)
            os.close(fd)
            raise
        return Kept(fd, decoded)

    def claim(self, diff_id: Digest, waiting: Callable[[], None]) -> Kept | Claim:
        """Take on making a layer; where another maker is at it, call `waiting`, wait, and open what was made.

        Raises what `find` raises.
        """
        name = _name(diff_id) + _MAKING
        while True:
            # All who waited for it verify it side by side.
            if (kept := self.find(diff_id)) is not None:
                return kept
            fd, ours, claimed = -1, False, False
            try:
                # A signal in between would leave a file that nobody knows to be ours.
                with signals_held():
                    fd = os.open(name, _WRITE, 0o600, dir_fd=self.directory)
                    ours = _lock_at_once(fd) and is_named(fd, self.directory, name)
                if not ours:
                    _lock(fd, waiting)
                # It may be made by now, or given up.
                if ours := is_named(fd, self.directory, name):
                    if (kept := self.find(diff_id)) is not None:
                        return kept
                    # What a killed maker left.
                    os.ftruncate(fd, 0)
                    claim = Claim(self.directory, diff_id, fd)
                    claimed = True
                    return claim
            finally:
                if ours and not claimed:
                    with suppress(OSError):
                        os.unlink(name, dir_fd=self.directory)
                if fd >= 0 and not claimed:
                    os.close(fd)

    def close(self) -> None:
        """Close the directory; layers that were lent stay open."""
        os.close(self.directory)


def is_named(fd: int, directory: int, name: str) -> bool:
    """Say whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _lock_at_once(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(fd: int, waiting: Callable[[], None]) -> None:
    if not _lock_at_once(fd):
        waiting()
        fcntl.flock(fd, fcntl.LOCK_EX)


def _lend(fd: int, content: Content, spool: Spool) -> int:
    return spool.borrow(Lent(fd, content.size, content.runs))


def _name(diff_id: Digest) -> str:
    return f"{diff_id.algorithm}-{diff_id.hex}"
