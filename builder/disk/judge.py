"""A new disk before its judge: the checker that comes with its format's tools."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from builder.errors import BuilderError, MissingRequirement, ToolFailed
from builder.files.descriptors import opened, path_of
from builder.tool import find_tool, run_tool
from builder.words import quoted

# Lines of e2fsck that tell no fault: of itself, of its progress, of mounts, which it may not look at, and those that it
# prints only because it has failed.
_NO_FINDING = re.compile(r"e2fsck \d|Pass \d|ext2fs_check_if_mount: |Could this be a zero-length|.*\*{10} WARNING")
# How fsck.erofs tells a fault; with some, it ends well all the same.
_ERROR = re.compile(r"<E> .*")
# What fsck.erofs says of what only a newer one knows.
_UNKNOWN = re.compile(
    r"unidentified (incompatible feature|algorithms) |blksize \d+ isn't supported|unknown (compression|HEAD\d) format "
)


class DiskFaulty(BuilderError):
    """The format's own `tool` found the disk that was built faulty, in its words; the disk is not published."""

    def __init__(self, tool: str, findings: str) -> None:
        words = quoted(findings, 500)
        super().__init__(f"{tool} finds the new disk faulty, so it is not published: {words}; please report this")
        self.tool = tool
        self.findings = findings

    @property
    def is_unknown(self) -> bool:
        """Whether the tool may only be older than what made the disk."""
        return bool(_UNKNOWN.search(self.findings))


def judge(tool: str, argv: Sequence[str], image: Path, scratch: Path, environment: Mapping[str, str]) -> None:
    """Run a checker, `tool` by its name, with `image` as its last argument; raises DiskFaulty if it is not content.

    Its temporary files go below `scratch`, and stay there: fsck.erofs puts fragments aside from 1.8 on.
    One that is killed by a signal has found nothing: that stays ToolFailed. One that writes to what it should only
    look at is no checker: MissingRequirement.
    """
    try:
        # Not where the disk itself may be, which it is only to read.
        place = mkdtemp(dir=scratch)
        with opened(image, os.O_RDONLY) as fd, opened(place, os.O_PATH | os.O_DIRECTORY) as work:
            before = _stamp(fd)
            words = [*argv, str(path_of(fd))]
            others = [find_tool(tool)]
            environment = {**environment, "TMPDIR": str(path_of(work))}
            done = run_tool(words, inherited=(fd, work), confined=True, others=others, environment=environment)
            if _stamp(fd) != before:
                raise MissingRequirement(f"{tool} changed the disk instead of checking it: install a working {tool}")
    except ToolFailed as failure:
        if failure.status < 0:
            raise ToolFailed([tool], failure.status, failure.stderr) from failure
        lines = (failure.stdout + failure.stderr).replace(str(path_of(fd)), "the disk").splitlines()
        said = [line.removeprefix(f"{tool}: ") for line in lines if line and not _NO_FINDING.match(line)]
        raise DiskFaulty(tool, said[0] if said else f"status {failure.status}") from failure
    if error := _ERROR.search(done.stdout + done.stderr):
        raise DiskFaulty(tool, error[0])


def _stamp(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns
