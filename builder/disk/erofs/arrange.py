"""Where everything is that mkfs.erofs was not given, known before any of it is written.

    mkfs.erofs's image | whole blocks of files, in the spool's order | inodes | whole blocks of all else

So what is copied is long and goes one way in both files, and inodes of one directory are near each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from builder.disk.erofs.layout import BLOCK, INODE_SIZE, directory_size, xattrs_size
from builder.disk.erofs.place import Places, behind
from builder.disk.erofs.plan import Plan, data_size
from builder.disk.filesystem import rounded_up
from builder.errors import BuilderError
from builder.tree.nodes import File

# Block addresses have 32 bits; the last one means none.
_NO_BLOCK = 0xFFFFFFFF
# In bytes: inodes that stand in one stretch of so many are sorted at once.
_STRETCH = 1 << 20


@dataclass(slots=True)
class Arrangement:
    """For each of `Plan.direct`: where its inode is, how many bytes of data are behind it, and where the others are.

    `bodies` are the files that have others, by their place in `Plan.direct`, in their order in the image. Inodes begin
    at `inodes`, the root's entries at `root`, and the image ends at `end`. All are positions in bytes.
    """

    positions: array[int] = field(default_factory=lambda: array("Q"))
    tails: array[int] = field(default_factory=lambda: array("H"))
    data: array[int] = field(default_factory=lambda: array("Q"))
    bodies: list[int] = field(default_factory=list)
    inodes: int = 0
    root: int = 0
    end: int = 0

    def in_order(self) -> Iterator[int]:
        """Yield the place of each inode, in their order in the image.

        Sorted all at once, a million of them would take 85 MB.
        """
        stretches = [array("I") for _ in range(self.inodes, self.root, _STRETCH)]
        for place, position in enumerate(self.positions):
            stretches[(position - self.inodes) // _STRETCH].append(place)
        for places in stretches:
            yield from sorted(places, key=self.positions.__getitem__)


def arrange(planned: Plan, end: int) -> Arrangement:
    """Find places from `end` on, where a block begins. Raises BuilderError for more than erofs has addresses for."""
    found = Arrangement()
    heads, offsets, others = array("I"), {}, []
    for place, node in enumerate(planned.direct):
        size, xattrs = data_size(node), xattrs_size(node.xattrs)
        tail = behind(xattrs, size)
        found.tails.append(tail)
        found.data.append(rounded_up(size - tail))
        heads.append(INODE_SIZE + xattrs + tail)
        if size > tail:
            if isinstance(node, File):
                offsets[place] = node.content.offset
            else:
                others.append(place)
    found.bodies = sorted(offsets, key=offsets.__getitem__)
    found.inodes = _give(found.data, found.bodies, end)
    places = Places(found.inodes)
    found.positions.extend(map(places.take, heads))
    found.root = places.end
    found.end = _give(found.data, others, found.root + rounded_up(directory_size(planned.root.children)))
    if found.end // BLOCK >= _NO_BLOCK:
        raise BuilderError("the image needs an erofs disk of more than 16 TiB, holes included: build it as ext4")
    return found


def _give(sizes: array[int], places: list[int], end: int) -> int:
    """Put a position, from `end` on, in the place of each size; return where the last one ends."""
    for place in places:
        sizes[place], end = end, end + sizes[place]
    return end
