"""The directory that mke2fs copies: one plain file per inode, in shards, and nothing of the tree's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from uuid import UUID

from builder.disk.ext4_dirents import BLOCK_SIZE, directory_blocks, entry_type
from builder.disk.ext4_plan import FAST_TARGET, ROOT_INODE, SHARD_ENTRIES, Plan
from builder.tree.nodes import Directory, File, Symlink
from builder.tree.spool import Spool

# A block of an extent tree has room for 340 extents, and splitting leaves it half full.
_EXTENTS_PER_BLOCK = 170
_EXTENTS_IN_INODE = 4
_BLOCKS_PER_GROUP = 32768

# Entries of eight bytes and an eight-digit name.
_SHARDS_PER_BLOCK = 250


def stage(planned: Plan, spool: Spool, directory: Path, uuid: UUID, progress: Callable[[int], None]) -> int:
    """Create and fill `directory`; return how many blocks mke2fs needs for what is in it, at most.

    `progress` is told how many bytes of content have been copied so far.
    """
    blocks = done = 0
    parents = {planned.inodes[0].number: ROOT_INODE}
    with closing(_Shards(directory)) as shards:
        for inode in planned.inodes:
            node = inode.node
            if isinstance(node, File) and node.content.size:
                blocks += _copy(spool, node, shards.create())
                done += node.content.size
                progress(done)
                continue
            content = b""
            if isinstance(node, Directory):
                children = []
                for name, child in sorted(node.children.items()):
                    number = planned.number(child)
                    children.append((name, number, entry_type(child)))
                    if isinstance(child, Directory):
                        parents[number] = inode.number
                content = directory_blocks(inode.number, parents[inode.number], children, uuid)
            elif isinstance(node, Symlink) and len(node.target) > FAST_TARGET:
                content = node.target
            blocks += _write(content, shards.create())
        for block in planned.xattr_blocks:
            blocks += _write(block.content, shards.create())
        names = 1 + shards.count // _SHARDS_PER_BLOCK
        return blocks + shards.count + _extent_blocks(names, names)


class _Shards:
    """Creates the staged files one after the other, by number, under names that sort in that order."""

    def __init__(self, directory: Path) -> None:
        self.count = 0
        self._directory = directory / "shards"
        self._directory.mkdir(0o700, parents=True)
        self._names = self._numbered()

    def create(self) -> int:
        """Create the next file and return a descriptor to write it with, which is the caller's to close."""
        shard, name = next(self._names)
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=shard)

    def close(self) -> None:
        self._names.close()

    def _numbered(self) -> Generator[tuple[int, str], None, None]:
        while True:
            shard = self._directory / f"{self.count:08d}"
            shard.mkdir(0o700)
            self.count += 1
            fd = os.open(shard, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for number in range(SHARD_ENTRIES):
                    yield fd, f"{number:03d}"
            finally:
                os.close(fd)


def _write(content: bytes, fd: int) -> int:
    with open(fd, "wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
    return _extent_blocks(1, -(-len(content) // BLOCK_SIZE))


def _copy(spool: Spool, file: File, fd: int) -> int:
    """Copy a file's data and leave out its holes; return the number of blocks the data touches."""
    stretches = blocks = 0
    end = -1
    with open(fd, "wb", buffering=0):
        os.truncate(fd, file.content.size)
        for position, length in spool.data(file.content):
            start = position - file.content.offset
            _copy_range(spool.fd, position, fd, start, length)
            first, last = start // BLOCK_SIZE, (start + length - 1) // BLOCK_SIZE
            blocks += last - max(first, end + 1) + 1
            stretches += 1
            end = last
    return _extent_blocks(stretches, blocks)


def _copy_range(source: int, position: int, target: int, start: int, length: int) -> None:
    """Copy inside the kernel, sharing the blocks where the host's file system can."""
    while length:
        try:
            copied = os.copy_file_range(source, target, length, position, start)
        except OSError:
            # Another file system, or one that cannot: EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, depending on the kernel.
            os.lseek(target, start, os.SEEK_SET)
            copied = os.sendfile(target, source, position, length)
        if copied == 0:
            raise EOFError(f"the spool ends {length} bytes before its content does")
        position, start, length = position + copied, start + copied, length - copied


def _extent_blocks(stretches: int, blocks: int) -> int:
    """Add to a file's blocks those of its extent tree, which splits also where a group's own blocks are."""
    extents = stretches + 2 * (blocks // _BLOCKS_PER_GROUP)
    if extents <= _EXTENTS_IN_INODE:
        return blocks
    leaves = -(-extents // _EXTENTS_PER_BLOCK)
    return blocks + leaves + leaves // _EXTENTS_PER_BLOCK
