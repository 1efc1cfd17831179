"""A blob that arrives on a thread while others read behind it, from a file: nothing waits in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from threading import Condition, Thread
from typing import Protocol

from builder.errors import DigestMismatch, SizeMismatch, SourceUnreadable
from builder.registry.failures import Stopped
from builder.registry.origin import Transfer

# In seconds: how long closing waits for a thread, which only a connection that is being made can outlast.
_GRACE = 2.0
_READ_SIZE = 1 << 18


class LeftDamaged(SourceUnreadable):
    """A blob of which an earlier transfer had left a part is not what it should be, which may be that part's fault."""

    def __init__(self, where: str) -> None:
        reason = "what an interrupted transfer had left of a blob here is damaged, or what came then; it is removed"
        super().__init__(where, f"{reason}: try again")


class BlobFile(Protocol):
    """Where one blob is put as it arrives, and read back from; one thread writes, others read."""

    @property
    def there(self) -> int:
        """How many bytes an earlier transfer left, to be asked before anything is written."""
        ...

    def write(self, chunk: bytes) -> None:
        """Add what arrived next."""
        ...

    def read(self, position: int, size: int) -> bytes:
        """Read `size` bytes that have been written, or fewer but at least one."""
        ...

    def finish(self) -> None:
        """Be told that all has arrived; raises DigestMismatch and SizeMismatch where what is kept must be verified."""
        ...

    def discard(self) -> None:
        """Be told that what arrived is wrong: no later transfer shall go on with it."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class BackgroundDownload:
    """One download into one file. `make` opens the file, in the thread; `where` names the registry."""

    def __init__(self, download: Transfer, make: Callable[[], BlobFile], where: str) -> None:
        self._download = download
        self._make = make
        self._where = where
        self._file: BlobFile | None = None
        self._arrived = 0
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._reading = 0
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="download", daemon=True)

    def start(self) -> None:
        """Begin the transfer."""
        self._thread.start()

    def read(self, position: int, size: int, wanted: Callable[[], bool]) -> bytes:
        """Wait for something at `position` and return up to `size` bytes of it; nothing at the end of the blob.

        Raises Stopped once it is no longer `wanted`, and at the place where it broke off what ended the transfer.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._arrived > position or self._ended or self._closed or not wanted())
            if self._closed or not wanted():
                raise Stopped(self._where)
            available = self._arrived - position
            if available <= 0:
                if self._error is not None:
                    raise self._error
                return b""
            file = self._file
            assert file is not None
            self._reading += 1
        try:
            return file.read(position, min(size, available))
        finally:
            with self._changed:
                self._reading -= 1
                self._let_go()

    def wake(self) -> None:
        """Have those who wait look again whether they still want to."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the transfer and every wait for it, and let go of the file once nobody uses it."""
        self._download.stop()
        if self._thread.ident is not None:
            self._thread.join(_GRACE)
        with self._changed:
            self._closed = True
            self._ended = self._ended or self._thread.ident is None
            self._changed.notify_all()
            self._let_go()

    def _run(self) -> None:
        try:
            file = self._make()
            with self._changed:
                self._file = file
                self._arrived = file.there
                self._changed.notify_all()
            try:
                self._receive(file)
            except SizeMismatch:
                file.discard()
                raise
            try:
                file.finish()
            except (DigestMismatch, SizeMismatch) as error:
                # What is wrong is not kept. Whoever reads it finds that out, too, and has a better name for it, but may
                # blame the registry for what was wrong here.
                if file.there:
                    raise LeftDamaged(self._where) from error
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
                self._let_go()

    def _receive(self, file: BlobFile) -> None:
        with closing(self._download.chunks(file.there)) as chunks:
            for chunk in chunks:
                file.write(chunk)
                with self._changed:
                    self._arrived += len(chunk)
                    self._changed.notify_all()

    def _let_go(self) -> None:
        if self._closed and self._ended and not self._reading and self._file is not None:
            self._file.close()
            self._file = None


class SequentialBlob(io.RawIOBase):
    """A blob for one sequential read, of which `_next` gives some bytes, and none at the end."""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; raises what `_next` raises."""
        left = -1 if size is None or size < 0 else size
        chunks: list[bytes] = []
        while left and (chunk := self._next(left if left > 0 else _READ_SIZE)):
            chunks.append(chunk)
            left -= len(chunk) if left > 0 else 0
        return b"".join(chunks)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError


class ArrivingBlob(SequentialBlob):
    """What is there of a blob at once, what is not as soon as it comes; raises what ended it early, and Stopped.

    `acquire` begins or joins the transfer at the first read; `release` is called when this is closed after that.
    """

    def __init__(self, acquire: Callable[[], BackgroundDownload], release: Callable[[], None]) -> None:
        self._acquire = acquire
        self._release = release
        self._download: BackgroundDownload | None = None
        self._position = 0
        self._stopped = False

    def stop(self) -> None:
        """Have a read of another thread that waits for the network end with Stopped."""
        self._stopped = True
        if self._download is not None:
            self._download.wake()

    def close(self) -> None:
        """Give up what is not read."""
        if not self.closed and self._download is not None:
            self._download = None
            self._release()
        super().close()

    def _next(self, size: int) -> bytes:
        if self._download is None:
            if self.closed:
                raise ValueError("read of a closed file")
            self._download = self._acquire()
        chunk = self._download.read(self._position, size, lambda: not self._stopped)
        self._position += len(chunk)
        return chunk
