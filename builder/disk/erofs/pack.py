"""erofs through mkfs.erofs, which begins the image and compresses.

It gets only what it is to compress (plan.py, mkfs.py); the rest is written into the image afterwards (restore.py).
Every inode is an extended one (64 bytes), since only those hold a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.disk.erofs.features import check_compression, installed_features, is_at_least
from builder.disk.erofs.image import SUPERBLOCK, ErofsImage, is_superblock
from builder.disk.erofs.layout import BLOCK
from builder.disk.erofs.place import MOST_BEHIND
from builder.disk.filesystem import DiskFacts, DiskOptions, check_label, derived_uuid, rounded_up
from builder.disk.judge import judge
from builder.errors import DiskTooSmall, MissingRequirement, UsageError
from builder.events import Listener, Meter, Stage
from builder.tool import find_tool
from builder.tree.spool import Spool
from builder.tree.tree import Tree

if TYPE_CHECKING:
    from builder.disk.reading import Reader

_TOOL = "mkfs.erofs"
_CHECKER = "fsck.erofs"
_MAX_LABEL = 15

# It calls itself for each level of directories, and 1.5 takes 7 KiB of stack each time: 8 MiB are not enough for 2,047.
_WITH_LARGE_STACK = 'ulimit -s 65536 2>/dev/null; exec "$0" "$1"'


class Erofs:
    """The read-only compressed file system; kernels from 5.4 on mount what is not compressed."""

    name = "erofs"
    tails = MOST_BEHIND
    # mkfs.erofs writes all of them.
    keeps_holes = False
    # fsck.erofs goes down each way that there is: in 26 directories of two names each there are 67 million.
    checks_graphs = False

    def check(self, options: DiskOptions) -> dict[str, str]:
        """Refuse what erofs has not (UsageError) and what the installed tools have not (MissingRequirement).

        Returns the version of mkfs.erofs.
        """
        if options.free:
            raise UsageError("--free: an erofs disk is read-only and has no free space")
        if options.inodes is not None:
            raise UsageError("--inodes: an erofs disk is read-only and has exactly the inodes of its files")
        check_label(options.label, self.name, _MAX_LABEL)
        features = installed_features()
        if options.compress is not None:
            check_compression(options.compress, features)
        for option, wanted in (("dedupe", options.dedupe), ("fragments", options.fragments)):
            if wanted and options.compress is None:
                raise UsageError(f"--{option}: erofs does this to compressed files only; add --compress")
            if wanted and not is_at_least(features.version, 1, 6):
                raise MissingRequirement(
                    f"mkfs.erofs {features.version} has no {option}: install erofs-utils 1.6 or newer"
                )
        if options.fragments and features.version.startswith("1.8.8"):
            raise MissingRequirement("mkfs.erofs 1.8.8 corrupts small fragments: install erofs-utils 1.8.9 or newer")
        return {_TOOL: features.version}

    def pack(
        self, tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener
    ) -> DiskFacts:
        """Write the image; a `size` pads it with a hole. What the installed version lacks: MissingRequirement."""
        # Here, because what writes a disk is not needed to know that one is up to date.
        from builder.disk.content import begun
        from builder.disk.erofs.limits import check_tree
        from builder.disk.erofs.mkfs import make
        from builder.disk.erofs.plan import plan
        from builder.disk.erofs.restore import restore

        features = installed_features()
        check_tree(tree)
        planned = plan(tree, spool, _least_compressed(options))
        uuid = options.uuid or derived_uuid(options.seed, "erofs")
        inodes = 1 + len(planned.packed) + len(planned.direct)
        with begun(output, spool, list(planned.bodies()), scratch, list(planned.contents())) as disk:
            make(planned, spool, options, features, scratch, output, disk.fd)
            image = ErofsImage(disk.fd)
            moves = restore(planned, image, spool)
            if image.packed:
                # The inode of a temporary file, with the time of this run.
                image.set_mtime(image.inode(image.packed), options.epoch * 10**9)
            image.finish(uuid, options.label.encode(), options.epoch, inodes)
            size = _padded(image.end, options.size)
            listen(Stage("filling the erofs file system", sum(move.length for move in moves)))
            disk.fill(moves, size, Meter(listen))
        return DiskFacts(
            format=self.name,
            uuid=uuid,
            size=size,
            block_size=BLOCK,
            inodes=inodes,
            tools={_TOOL: features.version},
        )

    def verify(self, image: Path, scratch: Path) -> None:
        """Have fsck.erofs judge an image; raises DiskFaulty, or ToolFailed."""
        argv = ["sh", "-c", _WITH_LARGE_STACK, find_tool(_CHECKER)]
        judge(_CHECKER, argv, image, scratch, {})

    def reader(self, fd: int) -> Reader:
        """Read the file system on the disk that is open as `fd`, without mounting it; raises DiskMalformed."""
        from builder.disk.erofs.read import ErofsReader
        from builder.disk.reading import Volume

        return ErofsReader(Volume.of(fd))

    def recognises(self, head: bytes) -> bool:
        """Tell whether a file with these first HEAD bytes is an erofs image."""
        return is_superblock(head[SUPERBLOCK:])


def _least_compressed(options: DiskOptions) -> int | None:
    """Return the size in bytes from which on files are compressed, or None."""
    if options.compress is None:
        return None
    # By itself a file of one block cannot become smaller. mkfs.erofs would have nothing to do but to hold it: 1.5 takes
    # 4.4 KB of memory for each.
    return 1 if options.dedupe or options.fragments else BLOCK + 1


def _padded(used: int, size: int | None) -> int:
    """Return how long an image becomes of which so many bytes are used, and that is to be of `size`, if it is given."""
    if size is None:
        return used
    whole = rounded_up(size)
    if whole < used:
        raise DiskTooSmall("--size", size, used)
    return whole
