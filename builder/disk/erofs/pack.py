"""erofs through mkfs.erofs, which begins the image and compresses.

It is fed with a tar stream where it reads one, else with a staging directory, and either way only with what it is to
compress (plan.py); the rest is written into the image afterwards (restore.py). Every inode is an extended
one (64 bytes), since only those hold a time.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.disk.erofs.features import Features, check_compression, installed_features, is_at_least
from builder.disk.erofs.image import SUPERBLOCK, ErofsImage, is_superblock
from builder.disk.erofs.layout import BLOCK
from builder.disk.erofs.place import MOST_BEHIND
from builder.disk.filesystem import DiskFacts, DiskOptions, check_label, derived_uuid, rounded_up
from builder.disk.judge import judge
from builder.errors import DiskTooSmall, MissingRequirement, ToolFailed, UsageError
from builder.events import Listener, Meter, Stage
from builder.files.descriptors import opened, path_of
from builder.tool import find_tool, run_tool
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
        from builder.disk.erofs.buffer import check_not_full, reserve
        from builder.disk.erofs.limits import check_tree, fits_tar
        from builder.disk.erofs.plan import plan
        from builder.disk.erofs.restore import restore
        from builder.disk.erofs.staging import staged
        from builder.disk.erofs.tar import write_tar

        features = installed_features()
        check_tree(tree)
        planned = plan(tree, spool, _least_compressed(options))
        argv = _command(options, features)

        def watch() -> None:
            # Fragments go there, and 1.8 waits for ever, in silence, once they find no room.
            if options.fragments:
                check_not_full(scratch)

        # From a tar, 1.8.6 packs wrong bytes of some files as fragments, and says nothing.
        tar = features.tar and not options.fragments and fits_tar(planned)
        uuid = options.uuid or derived_uuid(options.seed, "erofs")
        inodes = 1 + len(planned.packed) + len(planned.direct)
        with (
            begun(output, spool, list(planned.bodies()), scratch, list(planned.contents())) as disk,
            opened(scratch, os.O_PATH | os.O_DIRECTORY) as work,
        ):
            tar = tar and reserve(disk.fd, output, (file.content.size for file in planned.packed))
            # The tool gets descriptors, in whose places nobody can put anything else.
            run = partial(run_tool, confined=True, output=output, watch=watch)
            # Some versions put file content aside in temporary files: not in /tmp, which may be memory.
            run = partial(run, environment={"TMPDIR": str(path_of(work))})
            if tar:
                argv += ["--tar=f", str(path_of(disk.fd))]
                done = run(argv, inherited=(disk.fd, work), stdin=lambda pipe: write_tar(planned, spool, pipe))
            else:
                with staged(planned, spool, scratch) as (directory, attributes):
                    argv += [attributes, str(path_of(disk.fd)), str(directory)]
                    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as staging:
                        done = run(argv, inherited=(disk.fd, work, staging))
            if done.stderr:
                # It prints nothing but errors, and takes no notice of some of them.
                raise ToolFailed(argv, 0, done.stderr)
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


def _command(options: DiskOptions, features: Features) -> list[str]:
    extended = ["force-inode-extended"]
    if features.name_filter:
        # Its hashes would have to be computed anew for the attributes that restore() writes.
        extended.append("^xattr-name-filter")
    extended += [feature for feature in ("dedupe", "fragments") if getattr(options, feature)]
    argv = ["mkfs.erofs", "--quiet", "-E" + ",".join(extended)]
    if features.block_size:
        # Else it is this machine's page size.
        argv.append(f"-b{BLOCK}")
    if options.compress is not None:
        # A comma and the bare number: the form that every version reads.
        argv.append("-z" + str(options.compress).replace(":", ","))
    if options.fragments and features.workers:
        # Threads pack fragments in the order in which they get there, and up to 1.8.9 take one for another.
        argv.append("--workers=0")
    return argv


def _padded(used: int, size: int | None) -> int:
    """Return how long an image becomes of which so many bytes are used, and that is to be of `size`, if it is given."""
    if size is None:
        return used
    whole = rounded_up(size)
    if whole < used:
        raise DiskTooSmall("--size", size, used)
    return whole
