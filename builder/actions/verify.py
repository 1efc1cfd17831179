"""A disk held against the image that it should hold: by its format's own checker, and name by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from builder.actions.booting import format_in
from builder.actions.confinement import Places, confine, confine_reading
from builder.actions.opening import open_image, temporary_directory
from builder.actions.remake import recall, remake
from builder.actions.verification import Fault, Verification
from builder.denied import unless_denied
from builder.disk import FILESYSTEMS
from builder.disk.check_verity import hash_faults
from builder.disk.digest import disk_digest
from builder.disk.judge import DiskFaulty
from builder.disk.reading import DiskMalformed, DiskUnreadable, Reader, Volume, walk
from builder.disk.verity import Verity
from builder.errors import BuilderError, ImageNotFound, MissingRequirement, UsageError
from builder.events import Listener, Stage, ignore
from builder.files.descriptors import opened
from builder.form import as_path
from builder.guest.layer import HOME
from builder.options import BuildOptions
from builder.output.beside import metadata_path, read_as
from builder.output.schema import Made
from builder.sandbox.policy import policy
from builder.shortage import LACKING, unless_short
from builder.tree.compare import Comparison
from builder.tree.expected import found_of
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree
from builder.words import legible, quoted


def verify(
    disk: Path | str,
    reference: Path | str | None = None,
    options: BuildOptions | None = None,
    listen: Listener = ignore,
    *,
    metadata: Path | str | None = None,
    quick: bool = False,
) -> Verification:
    """Hold `disk` against the image at `reference`, or against the one that its metadata name.

    Each name on it is compared with the tree that a build would have packed: type, mode, owner, size, content, target,
    device, extended attributes, flags of chattr, names of one inode, and times as the format holds them; e2fsck or
    fsck.erofs judges it; then its hash tree is held against its content. Blocks of zeros must be holes where metadata
    say that the disk is ours and its format has holes; other disks may store them. Permissions of symlinks are compared
    on disks of ours. `metadata` are beside the disk by default; where they were pulled with it, they are believed about
    image and options only if they are named. With `quick` only the recorded sha256 is looked at. Nothing is mounted,
    and nothing written to. Raises BuilderError: MissingRequirement where nothing is found and the installed
    checker is older than the disk.
    """
    disk, options, metadata = Path(disk), (options or BuildOptions()).settled(), as_path(metadata)
    reference = None if reference is None else os.fspath(reference)
    # Without waiting for somebody to write to a fifo.
    with _failures_named(disk), opened(disk, os.O_RDONLY | os.O_NONBLOCK) as fd:
        found = Verification(disk, format_in(fd, disk, "name one of ext4 or erofs"))
        recorded = read_as(Made, disk, metadata)
    if quick:
        if reference is not None:
            raise UsageError("--quick looks at no image; leave out IMAGE, or --quick")
        if recorded is None or recorded.disk.sha256 is None:
            raise UsageError(
                f"{disk}: its sha256 is not on record in {metadata or metadata_path(disk)}; name --metadata"
            )
        with policy(options.sandbox):
            confine(lambda: Places(read=[disk]))
            _look_at_digest(found, recorded, listen)
        if found.actual != found.recorded:
            found.faults.append(Fault("sha256", f"{found.actual}, expected {found.recorded}"))
        return found
    pulled_from = recorded.pulled_from if recorded and metadata is None else None
    if reference is None and recorded is not None and pulled_from is not None:
        # A registry could name any image, with whatever it added, and any file of this machine.
        said = f"that it was made of {quoted(recorded.image.reference, 200)} is the word of {legible(pulled_from, 300)}"
        raise UsageError(f"{disk}: {said}; name the IMAGE, or believe it with --metadata {metadata_path(disk)}")
    if reference is None and recorded is None:
        missing = metadata or metadata_path(disk)
        raise UsageError(f"{disk}: there is no {missing} that says what it was made of; name an IMAGE, or --metadata")
    with policy(options.sandbox):
        _look(found, reference, recorded, None if pulled_from else recorded, options, listen)
    return found


def recorded_reference(disk: Path, metadata: Path | None) -> str | None:
    """Say which image a disk's metadata name; None where they do not, of which `verify` says what is wrong."""
    with suppress(BuilderError, OSError):
        recorded = read_as(Made, disk, metadata)
        return recorded.image.reference if recorded else None
    return None


def _look(
    found: Verification,
    reference: str | None,
    recorded: Made | None,
    believed: Made | None,
    options: BuildOptions,
    listen: Listener,
) -> None:
    """Look at all of a disk; of what is on record of it, what is `believed` tells what it should be."""
    try:
        unjudged = _compare(found, reference, believed, options, listen)
    except ImageNotFound as error:
        if reference is not None:
            raise
        # Whoever verifies may never have heard of it, or is in another directory.
        reason = f"its metadata name an image that is not there ({error}); name the IMAGE"
        raise ImageNotFound(str(found.disk), reason) from error
    if recorded is not None:
        _check_recorded(found, recorded, listen)
    if unjudged is None:
        return
    if found.equal:
        raise MissingRequirement(
            f"{found.disk}: has all names as expected, but {unjudged.tool} is too old to check it "
            f"({quoted(unjudged.findings)}): install a newer one"
        ) from unjudged
    found.faults.insert(0, Fault(unjudged.tool, unjudged.findings))


def _check_recorded(found: Verification, recorded: Made, listen: Listener) -> None:
    """Hold the bytes of a disk against what is on record of them."""
    _check_hashes(found, recorded.verity, listen)
    _look_at_digest(found, recorded, listen)
    if found.equal and found.actual != found.recorded:
        # So far, remarks are of what was left out of the tree: there it may differ.
        if found.remarks:
            said = f"{found.actual}, expected {found.recorded}, and not all of the tree could be compared"
            found.faults.append(Fault("sha256", said))
            return
        found.remarks.append("its sha256 is not the recorded one: what differs is not part of the tree")


def _judge(found: Verification, scratch: Path, listen: Listener) -> DiskFaulty | None:
    """Have a disk checked by its format's own tool; returns what that says if it is only too old to tell."""
    listen(Stage(f"checking the {found.format} file system"))
    try:
        with _failures_named(found.disk):
            FILESYSTEMS[found.format].verify(found.disk, scratch)
    except DiskFaulty as faulty:
        if faulty.is_unknown:
            return faulty
        # What it found is behind much of what differs.
        found.faults.insert(0, Fault(faulty.tool, faulty.findings))
    return None


def _compare(
    found: Verification, reference: str | None, recorded: Made | None, options: BuildOptions, listen: Listener
) -> DiskFaulty | None:
    """Compare all names; and have the disk judged (see _judge), if they are a tree, which could be read to its end."""
    chosen = reference or (recorded.image.reference if recorded else "")
    with temporary_directory(options, "verify", listen) as (scratch, room):
        with closing(open_image(chosen, options, scratch, listen)) as source, open_spool(scratch) as spool:
            recalled = recall(source, chosen, recorded, options, listen, same=reference is None)
            needed = room + Places([found.disk, *recalled.inputs()])
            confine_reading(source, chosen, recalled.options, needed, late=[f"builder.disk.{found.format}.read"])
            remade = remake(source, recalled, spool, listen, booting=recorded is None and _holds_init(found))
            found.reference, found.config = chosen, str(remade.image.config_digest)
            found.remarks.extend(remade.remarks)
            listen(Stage("comparing"))
            ours = recorded is not None
            has_holes = ours and FILESYSTEMS[found.format].keeps_holes
            comparison = Comparison(left_out=remade.left_out, has_holes=has_holes, has_symlink_modes=ours)
            _compare_names(found, comparison, remade.tree, spool, options.limits.max_entries)
        if not found.faults or FILESYSTEMS[found.format].checks_graphs:
            return _judge(found, scratch, listen)
    return None


def _compare_names(found: Verification, comparison: Comparison, tree: Tree, spool: Spool, most: int) -> None:
    """Hold each name of the disk, of which there are `most`, against a tree, as far as the disk can be read."""
    with _failures_named(found.disk), opened(found.disk, os.O_RDONLY) as fd:
        try:
            reader = FILESYSTEMS[found.format].reader(fd)
            # What the image has as well is held against that.
            own = frozenset(_own(reader)) - tree.root.children.keys()
            comparison.holds, comparison.own = reader.holds, own
            for difference in comparison.differences(walk(reader, most), found_of(tree, spool)):
                found.keep(difference)
        except DiskMalformed as malformed:
            found.faults.append(Fault("the disk", f"{malformed}; what is behind that was not compared"))
        found.names = comparison.names


def _holds_init(found: Verification) -> bool:
    """Say whether a disk has what builds add for a guest to boot."""
    with _failures_named(found.disk), opened(found.disk, os.O_RDONLY) as fd:
        try:
            reader = FILESYSTEMS[found.format].reader(fd)
            return any(entry.name == HOME.encode() for entry in reader.entries(reader.inode(reader.root)))
        except DiskMalformed:
            return False


def _own(reader: Reader) -> Iterator[bytes]:
    """Name the directories in the root that are of the file system's maker."""
    for entry in reader.entries(reader.inode(reader.root)):
        if reader.is_own(entry.name, reader.inode(entry.number)):
            yield entry.name


def _check_hashes(found: Verification, verity: Verity | None, listen: Listener) -> None:
    if verity is None:
        return
    listen(Stage("checking the hash tree"))
    found.has_verity = True
    with _failures_named(found.disk), opened(found.disk, os.O_RDONLY) as fd:
        try:
            found.faults.extend(Fault("the hash tree", fault) for fault in hash_faults(Volume.of(fd), verity))
        except DiskMalformed as malformed:
            found.faults.append(Fault("the disk", str(malformed)))


def _look_at_digest(found: Verification, recorded: Made, listen: Listener) -> None:
    if recorded.disk.sha256 is None:
        return
    listen(Stage("hashing the disk"))
    with _failures_named(found.disk):
        found.recorded, found.actual = recorded.disk.sha256, disk_digest(found.disk)


@contextmanager
def _failures_named(disk: Path) -> Iterator[None]:
    """Say of the system's errors that something was to be read; raises DiskUnreadable, MissingRequirement, Shortage."""
    try:
        yield
    except LACKING as lacking:
        error = unless_short(lacking)
        where = os.fsdecode(error.filename or disk)
        reason = unless_denied(error, where).strerror or str(error)
        raise DiskUnreadable(where, f"cannot be read: {reason}") from error
