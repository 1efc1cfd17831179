"""How large a file system has to be: mke2fs itself is asked, with empty file systems that cost milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.mke2fs import Layout, Mke2fs
from builder.errors import DiskTooSmall, ToolFailed

# Journals in MiB, for file systems below so many bytes: the steps of mke2fs.
_JOURNALS = ((4, 128 << 20), (16, 1 << 30), (32, 2 << 30), (64, 16 << 30), (128, 32 << 30), (256, 64 << 30))
_LARGEST_JOURNAL = 1024

# One inode per 16 KiB, as mke2fs has it, for the files that the guest will add.
_BYTES_PER_INODE = 16384
_MIN_SPARE_INODES = 256

# This many blocks more than needed are no reason to ask once more.
_TOLERANCE = 8
_MAX_TRIALS = 40

# What a file system of one group has beside its inode table: superblock, descriptors, bitmaps, two directories;
# and the 50 blocks that mke2fs wants to see left.
_FIXED_BLOCKS = 64

_INODES_PER_BLOCK = BLOCK_SIZE // INODE_SIZE


@dataclass(frozen=True, slots=True)
class Demand:
    """What has to fit: `blocks` of content and room asked for, `inodes`; and the journal, if any."""

    blocks: int
    inodes: int
    inodes_asked: int | None
    journal: bool

    def layout(self, size: int, blocks: int) -> Layout:
        """Return a layout of `blocks` that has the inodes and the journal of a file system of `size` bytes."""
        spare = max(self.inodes // 16, _MIN_SPARE_INODES)
        inodes = self.inodes_asked or max(self.inodes + spare, size // _BYTES_PER_INODE)
        journal = next((step for step, limit in _JOURNALS if size < limit), _LARGEST_JOURNAL)
        return Layout(blocks, inodes, journal if self.journal else 0)

    @property
    def smallest(self) -> Layout:
        """The layout to grow from: content only."""
        layout = self.layout(self.blocks * BLOCK_SIZE, self.blocks)
        # mke2fs wants the journal to take half of what is free at most.
        beside_journal = layout.journal * 512 + -(-layout.inodes // _INODES_PER_BLOCK) + _FIXED_BLOCKS
        return replace(layout, blocks=max(self.blocks, beside_journal))


def fitting_layout(mke2fs: Mke2fs, demand: Demand, size: int | None) -> Layout:
    """Return a layout that holds `demand`: of `size` bytes, or the smallest.

    Raises DiskTooSmall.
    """
    if demand.inodes_asked is not None and demand.inodes_asked < demand.inodes:
        raise DiskTooSmall("--inodes", demand.inodes_asked, demand.inodes)
    if size is None:
        return _smallest(mke2fs, demand)
    blocks = -(-size // BLOCK_SIZE)
    # Inodes and journal suit the size, or if that leaves too little room, the content.
    for layout in (demand.layout(size, blocks), replace(demand.smallest, blocks=blocks)):
        if blocks >= demand.smallest.blocks and _try_out(mke2fs, demand, layout).spare >= 0:
            return layout
    raise DiskTooSmall("--size", size, _smallest(mke2fs, demand).blocks * BLOCK_SIZE)


def _smallest(mke2fs: Mke2fs, demand: Demand) -> Layout:
    """Search for the least number of blocks, or nearly, from a guess that is nearly right.

    What is missing or too much is in blocks, and so is the size: the next guess is that much more or less. It is
    no better than a guess, since the tables change with the size, and mke2fs leaves out a last group that would
    hold little else; so guesses stay between what failed and what fitted.
    """
    least = demand.smallest
    failing, fitting = least.blocks - 1, 0
    guess = least.blocks + least.blocks // 64 + least.inodes // _INODES_PER_BLOCK + least.journal * 256 + 64
    for _ in range(_MAX_TRIALS):
        trial = _try_out(mke2fs, demand, replace(least, blocks=guess))
        if trial.spare >= 0:
            fitting = trial.blocks
        else:
            failing = guess
        if fitting and (0 <= trial.spare <= _TOLERANCE or fitting - failing <= _TOLERANCE):
            break
        guess = trial.blocks - trial.spare
        if not fitting:
            guess = max(guess, failing + failing // 64)
        elif not failing < guess < fitting:
            guess = (failing + fitting) // 2
    if not fitting and trial.failure is not None:
        raise trial.failure
    return replace(least, blocks=fitting or guess)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A file system of `blocks` has `spare` blocks left when a demand is met; below zero so many are missing."""

    blocks: int
    spare: int
    failure: ToolFailed | None = None


def _try_out(mke2fs: Mke2fs, demand: Demand, layout: Layout) -> _Trial:
    try:
        superblock = mke2fs.try_out(layout)
    except ToolFailed as failure:
        # mke2fs refuses what has no room for its tables, without saying how much that would be.
        return _Trial(layout.blocks, -(layout.blocks // 16) - 1, failure)
    if superblock.inodes < demand.inodes:
        missing = (demand.inodes - superblock.inodes) // _INODES_PER_BLOCK + 1
        return _Trial(layout.blocks, -missing)
    spare = superblock.free_blocks - demand.blocks
    return _Trial(superblock.blocks if spare >= 0 else layout.blocks, spare)
