"""How mkfs.erofs is called: with a tar stream where it reads one faithfully, else with a staging directory."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from builder.disk.erofs.buffer import check_not_full, reserve
from builder.disk.erofs.features import Features
from builder.disk.erofs.layout import BLOCK
from builder.disk.erofs.limits import fits_tar
from builder.disk.erofs.plan import Plan
from builder.disk.erofs.staging import staged
from builder.disk.erofs.tar import write_tar
from builder.disk.filesystem import DiskOptions
from builder.errors import ToolFailed
from builder.files.descriptors import opened, path_of
from builder.tool import run_tool
from builder.tree.spool import Spool


def make(
    planned: Plan, spool: Spool, options: DiskOptions, features: Features, scratch: Path, output: Path, fd: int
) -> None:
    """Have mkfs.erofs write an image of what it is to compress into the empty file `fd`; errors call it `output`.

    Temporary files go below `scratch`. Raises ToolFailed, or OSError (a full disk).
    """
    argv = _command(options, features)

    def watch() -> None:
        # Fragments go there, and 1.8 waits for ever, in silence, once they find no room.
        if options.fragments:
            check_not_full(scratch)

    with opened(scratch, os.O_PATH | os.O_DIRECTORY) as work:
        # The tool gets descriptors, in whose places nobody can put anything else. Some versions put file content aside
        # in temporary files: not in /tmp, which may be memory.
        environment = {"TMPDIR": str(path_of(work))}
        run = partial(run_tool, confined=True, output=output, watch=watch, environment=environment)
        # From a tar, 1.8.6 packs wrong bytes of some files as fragments, and says nothing.
        fits = features.tar and not options.fragments and fits_tar(planned)
        if fits and reserve(fd, output, (file.content.size for file in planned.packed)):
            argv += ["--tar=f", str(path_of(fd))]
            done = run(argv, inherited=(fd, work), stdin=lambda pipe: write_tar(planned, spool, pipe))
        else:
            with staged(planned, spool, scratch) as (directory, attributes):
                argv += [attributes, str(path_of(fd)), str(directory)]
                with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as staging:
                    done = run(argv, inherited=(fd, work, staging))
    if done.stderr:
        # It prints nothing but errors, and takes no notice of some of them.
        raise ToolFailed(argv, 0, done.stderr)


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
