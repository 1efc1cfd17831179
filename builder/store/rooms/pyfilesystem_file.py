"""One file of a store in a PyFilesystem, with errors that are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from builder.errors import BuilderError, StoreDenied, StoreError
from builder.files.import_fs import incomplete


class PyFilesystemFile:
    """A file that one thread holds."""

    def __init__(
        self, path: str, where: str, size: int, reopen: Callable[[], BinaryIO], let_go: Callable[[], None]
    ) -> None:
        """`where` names it in messages; `reopen` opens it to read and write, `let_go` ends the holding."""
        self.path = path
        self.size = size
        self._where = where
        self._reopen = reopen
        self._let_go = let_go
        self._file: BinaryIO | None = None

    def read(self, start: int, size: int) -> bytes:
        """Read up to `size` bytes from `start` on."""
        with self._open() as file:
            file.seek(start)
            return file.read(size)

    def append(self, data: bytes) -> None:
        """Write at the end: all of it, or raise and leave the file as it was."""
        with self._open() as file:
            try:
                file.seek(self.size)
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                file.flush()
            except Exception:
                file.truncate(self.size)
                raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""
        with self._open() as file:
            file.truncate(size)
            file.flush()
        self.size = size

    def sync(self) -> None:
        """Hand everything to the file system; what that promises is its own."""
        with using(self._where):
            if self._file is not None:
                self._file.close()
                self._file = None

    def close(self) -> None:
        """Hold it no more."""
        self.sync()
        self._let_go()

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        with using(self._where):
            if self._file is None:
                self._file = self._reopen()
            yield self._file


@contextmanager
def using(where: str) -> Iterator[None]:
    """Turn what a file system raises into ours; it may be anybody's code."""
    from fs.errors import PermissionDenied

    try:
        yield
    except BuilderError:
        raise
    except ImportError as error:
        raise incomplete(where, error) from error
    except PermissionDenied as error:
        raise StoreDenied(where, "this user may not use the store; choose another with --store") from error
    except Exception as error:
        raise StoreError(where, f"the store cannot be used: {str(error) or type(error).__name__}") from error
