"""Put finished files under their names: complete and synced, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import OutputError
from builder.events import Listener, ignore
from builder.files.descriptors import opened
from builder.files.lasting import sync_names
from builder.files.workspace import Workspace, workspace
from builder.output.checks import resolve_output

_READ = os.O_RDONLY | os.O_NOFOLLOW


class OutputUnsettled(OutputError):
    """An output is whole and under its name, but the system has not confirmed that its name is on the disk."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, f"is complete, but its directory was not synced: {reason}; a power failure may undo it")


@dataclass(frozen=True, slots=True)
class Draft:
    """A file, perhaps an `executable` one, or a directory, in a workspace, that is to be `output`, beside that."""

    work: Workspace
    name: str
    output: Path
    executable: bool = False

    @property
    def path(self) -> Path:
        """A path to it that nobody can change."""
        return self.work.path / self.name


@dataclass(frozen=True, slots=True)
class Content:
    """A small file that is to be: its bytes, the time of its modification if that is said, and whether it runs."""

    path: Path
    data: bytes
    mtime_ns: int | None = None
    executable: bool = False

    def is_there(self) -> bool:
        """Say whether just this file is there already."""
        with suppress(OSError), self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            same = status.st_size == len(self.data) and self.mtime_ns in (None, status.st_mtime_ns)
            runs = not self.executable or os.access(self.path, os.X_OK)
            return same and runs and file.read(len(self.data) + 1) == self.data
        return False


def publish(draft: Draft) -> None:
    """Sync a file, give it the mode that a new one has, and rename it to what it is to be.

    Raises OSError while the output is what it was before, and OutputUnsettled once it is the new one.
    """
    with opened(draft.path, _READ) as fd:
        os.fchmod(fd, _new_file_mode(draft.work.path, draft.executable))
        os.fsync(fd)
    _rename(draft)
    try:
        sync_names(draft.work.parent)
    except OSError as error:
        raise OutputUnsettled(str(draft.output), error.strerror or str(error)) from error


def publish_in_order(drafts: Iterable[Draft]) -> None:
    """Publish several files, one after the other; what fails then says what was published before it."""
    published: list[str] = []
    for draft in drafts:
        try:
            publish(draft)
        except OSError as error:
            if not published:
                raise
            reason = f"{error.strerror or error}; complete and published before it: {', '.join(published)}"
            raise OutputError(str(draft.output), reason) from error
        published.append(str(draft.output))


def publish_directory(draft: Draft) -> None:
    """Rename a directory to what it is to be: a new one, or in place of an empty one. Raises OSError."""
    _rename(draft)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file in one step."""
    output = resolve_output(path)
    with workspace(output.parent, output.name) as work:
        publish(_drafted(work, output, data))


@contextmanager
def staged(contents: Iterable[Content], listen: Listener = ignore) -> Iterator[list[Draft]]:
    """Write and sync small files, each in a workspace of its own, to be published.

    Yields a draft of each that is not there already with just these bytes.
    """
    with ExitStack() as stack:
        drafts = []
        for content in contents:
            output = resolve_output(content.path)
            # In any case, so that what a killed build has left there goes.
            work = stack.enter_context(workspace(output.parent, output.name, listen))
            if not content.is_there():
                draft = _drafted(work, output, content.data, content.mtime_ns)
                drafts.append(replace(draft, executable=content.executable))
        yield drafts


def sync(draft: Draft) -> None:
    """Wait until a file is on the disk it lives on."""
    with opened(draft.path, _READ) as fd:
        os.fsync(fd)


def _drafted(work: Workspace, output: Path, data: bytes, mtime_ns: int | None = None) -> Draft:
    draft = Draft(work, "file", output)
    with draft.path.open("xb") as file:
        file.write(data)
    if mtime_ns is not None:
        os.utime(draft.path, ns=(mtime_ns, mtime_ns))
    sync(draft)
    return draft


def _rename(draft: Draft) -> None:
    try:
        os.replace(draft.name, draft.output.name, src_dir_fd=draft.work.fd, dst_dir_fd=draft.work.parent)
    except OSError as error:
        error.filename = os.fspath(draft.output)
        if error.errno == errno.EBUSY:
            # As a file that was mounted into a container by itself.
            error.strerror = "it is a mount point, which cannot be replaced"
        raise


def _new_file_mode(directory: Path, executable: bool) -> int:
    """Tell the mode the umask gives a new file; asking the umask itself would change it for other threads."""
    probe = directory / f"mode-{os.urandom(8).hex()}"
    with opened(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o777 if executable else 0o666) as fd:
        os.unlink(probe)
        return stat.S_IMODE(os.fstat(fd).st_mode)
