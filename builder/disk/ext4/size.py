"""How large a file system has to be: reckoned, and held against what mke2fs makes; most often that fits at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.mke2fs import Layout, Mke2fs
from builder.disk.ext4.overhead import free_blocks, whole
from builder.disk.ext4.superblock import Superblock, read_superblock
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


def make_fitting(mke2fs: Mke2fs, image: int, output: Path, demand: Demand, size: int | None) -> None:
    """Make an empty file system that holds `demand` in the empty file `image`: of `size` bytes, or the smallest.

    What is tried out is made there, too: each time, mke2fs syncs what it has made. `output` is the file's name in
    errors. Raises DiskTooSmall, and what `Mke2fs.make` raises.
    """
    trials = _Trials(mke2fs, image, output)
    layout = _fitting(trials, demand, size)
    if layout != trials.made:
        trials.make(layout)


class _Trials:
    """File systems that are made in one file, each in place of the one before; `made` is what is there."""

    def __init__(self, mke2fs: Mke2fs, image: int, output: Path) -> None:
        self.made: Layout | None = None
        self._mke2fs = mke2fs
        self._image = image
        self._output = output

    def make(self, layout: Layout) -> Superblock:
        """Make an empty file system of that layout. Raises ToolFailed if mke2fs finds that it cannot be."""
        self.made = None
        os.ftruncate(self._image, 0)
        self._mke2fs.make(self._image, layout, self._output)
        self.made = layout
        return read_superblock(self._image)


def _fitting(trials: _Trials, demand: Demand, size: int | None) -> Layout:
    if demand.inodes_asked is not None and demand.inodes_asked < demand.inodes:
        raise DiskTooSmall("--inodes", demand.inodes_asked, demand.inodes)
    if size is None:
        return _smallest(trials, demand)
    blocks = -(-size // BLOCK_SIZE)
    # Inodes and journal suit the size, or if that leaves too little room, the content.
    for layout in (demand.layout(size, blocks), replace(demand.smallest, blocks=blocks)):
        if blocks >= demand.smallest.blocks and _try_out(trials, demand, layout).spare >= 0:
            return layout
    raise DiskTooSmall("--size", size, _smallest(trials, demand).blocks * BLOCK_SIZE)


def _smallest(trials: _Trials, demand: Demand) -> Layout:
    """Search for the least number of blocks, or nearly, from a guess that is most often right.

    What is missing or too much is in blocks, and so is the size: the next guess is that much more or less. It is
    no better than a guess, since the tables change with the size, and mke2fs leaves out a last group that would
    hold little else; so guesses stay between what failed and what fitted. Where mke2fs makes what was reckoned, that is
    the least.
    """
    least = demand.smallest
    failing, fitting = least.blocks - 1, 0
    reckoned = _reckoned(least, demand)
    guess = reckoned.blocks
    for _ in range(_MAX_TRIALS):
        trial = _try_out(trials, demand, replace(least, blocks=guess))
        if trial.spare >= 0:
            fitting = trial.blocks
        else:
            failing = guess
        as_reckoned = guess == reckoned.blocks and trial.spare == free_blocks(reckoned) - demand.blocks
        if fitting and (as_reckoned or 0 <= trial.spare <= _TOLERANCE or fitting - failing <= _TOLERANCE):
            break
        guess = trial.blocks - trial.spare
        if not fitting:
            guess = max(guess, failing + failing // 64)
        elif not failing < guess < fitting:
            guess = (failing + fitting) // 2
    if not fitting and trial.failure is not None:
        raise trial.failure
    return replace(least, blocks=fitting or guess)


def _reckoned(least: Layout, demand: Demand) -> Layout:
    """Reckon how many blocks meet the demand, from those that are the least."""
    layout = replace(least, blocks=whole(least))
    while (missing := demand.blocks - free_blocks(layout)) > 0:
        # A block more is at most one more that is free: there is nothing between that would do.
        layout = replace(layout, blocks=layout.blocks + missing)
        layout = replace(layout, blocks=whole(layout))
    return layout


@dataclass(frozen=True, slots=True)
class _Trial:
    """A file system of `blocks` has `spare` blocks left when a demand is met; below zero so many are missing."""

    blocks: int
    spare: int
    failure: ToolFailed | None = None


def _try_out(trials: _Trials, demand: Demand, layout: Layout) -> _Trial:
    try:
        superblock = trials.make(layout)
    except ToolFailed as failure:
        # mke2fs refuses what has no room for its tables, without saying how much that would be.
        return _Trial(layout.blocks, -(layout.blocks // 16) - 1, failure)
    if superblock.inodes < demand.inodes:
        missing = (demand.inodes - superblock.inodes) // _INODES_PER_BLOCK + 1
        return _Trial(layout.blocks, -missing)
    spare = superblock.free_blocks - demand.blocks
    return _Trial(superblock.blocks if spare >= 0 else layout.blocks, spare)
