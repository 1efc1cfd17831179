"""What mkfs.erofs was not told, written into its image: the tree, its metadata, and what else it did not compress."""

from __future__ import annotations

from builder.disk.erofs.arrange import Arrangement, arrange
from builder.disk.erofs.image import ErofsImage
from builder.disk.erofs.layout import (
    BLOCK,
    FLAT_INLINE,
    FLAT_PLAIN,
    encode_directory,
    encode_inode,
    encode_xattrs,
)
from builder.disk.erofs.place import behind
from builder.disk.erofs.plan import Plan, number_of
from builder.disk.filesystem import rounded_up
from builder.disk.numbering import FT_DIRECTORY, encode_device, file_type
from builder.disk.shift import Move, add
from builder.errors import BuilderError
from builder.exact import write_at
from builder.tree.filling import Filling
from builder.tree.nodes import Content, Device, Directory, File, Node, Symlink
from builder.tree.spool import Spool

_Entries = list[tuple[bytes, int, int]]


def restore(planned: Plan, image: ErofsImage, spool: Spool) -> list[Move]:
    """Make the image of the files that were planned an image of their tree, but for whole blocks of content.

    Returns where those are to be in the image, in order. Raises BuilderError if the image does not hold exactly those
    files.
    """
    numbers = _numbers(planned, image)
    for file in planned.packed:
        inode = image.inode(numbers[file])
        if inode.size != file.content.size:
            raise BuilderError(f"mkfs.erofs packed {inode.size} of {file.content.size} bytes of a file")
        image.restate(inode, file, planned.links.get(file, 1))
    arranged = arrange(planned, image.end)
    image.end = arranged.end
    # Every number before the first directory, which names them.
    numbers.update(zip(planned.direct, map(image.number_at, arranged.positions), strict=True))
    _Inodes(planned, arranged, numbers, spool, image).write()
    return _moves(planned, arranged, spool, image.fd)


def _numbers(planned: Plan, image: ErofsImage) -> dict[Node, int]:
    """Find the numbers of the inodes that mkfs.erofs made; erase the directories that it was fed."""
    numbers: dict[Node, int] = {planned.root: image.root}
    for directory, nid in image.entries(image.inode(image.root)):
        inode = image.inode(nid)
        for name, found in image.entries(inode):
            numbers[planned.packed[number_of(directory, name)]] = found
        image.erase(inode)
    if len(numbers) != 1 + len(planned.packed):
        raise BuilderError("mkfs.erofs left something out of the image")
    return numbers


def _moves(planned: Plan, arranged: Arrangement, spool: Spool, fd: int) -> list[Move]:
    """Say where files' whole blocks are to be, holes left out; copy last blocks for which an inode has no room."""
    moves: list[Move] = []
    for place in arranged.bodies:
        file, position = planned.direct[place], arranged.data[place]
        assert isinstance(file, File)
        offset, size = file.content.offset, file.content.size
        tail = behind(0, size)
        if tail and not arranged.tails[place]:
            spool.copy_part(offset + size - tail, tail, fd, position + size - tail)
        for start, length in spool.data(Content(offset, size - tail)):
            add(moves, start, position + start - offset, rounded_up(length))
    return moves


class _Inodes:
    """Writes inodes with what is right behind them, in the order in which they are, and the data of all but files."""

    def __init__(
        self, planned: Plan, arranged: Arrangement, numbers: dict[Node, int], spool: Spool, image: ErofsImage
    ) -> None:
        self._planned = planned
        self._arranged = arranged
        self._numbers = numbers
        self._spool = spool
        self._image = image
        self._parents = {planned.root: image.root}
        for node in (planned.root, *planned.direct):
            if isinstance(node, Directory):
                self._parents.update(
                    (child, numbers[node]) for child in node.children.values() if isinstance(child, Directory)
                )

    def write(self) -> None:
        """Write all there is but files' whole blocks."""
        root, image, arranged = self._planned.root, self._image, self._arranged
        entries = self._entries(root)
        inode = image.inode(image.root)
        image.restate(inode, root, _subdirectories(entries))
        image.replace(inode, encode_directory(entries), arranged.root)
        area = Filling(image.fd)
        for place in arranged.in_order():
            area.put(arranged.positions[place], self._inode(place))
        area.settle(arranged.end)

    def _inode(self, place: int) -> bytes:
        """Return an inode, its attributes and the end of its data, and write what else it has of data."""
        node, tail, position = self._planned.direct[place], self._arranged.tails[place], self._arranged.data[place]
        links = self._planned.links.get(node, 1)
        where, data = position // BLOCK, b""
        match node:
            case File(content=content):
                size = content.size
                if tail:
                    data = self._spool.read_at(content.offset + size - tail, tail)
            case Directory():
                entries = self._entries(node)
                links, data = _subdirectories(entries), encode_directory(entries)
                size = len(data)
            case Symlink(target=data):
                size = len(data)
            case Device(major=major, minor=minor):
                size, where = 0, encode_device(major, minor)
            case _:
                size = 0
        if len(data) > tail:
            write_at(self._image.fd, data[: size - tail], position)
            data = data[size - tail :]
        xattrs = encode_xattrs(node.xattrs)
        layout = FLAT_INLINE if tail else FLAT_PLAIN
        return encode_inode(node, self._numbers[node], layout, size, where, links, len(xattrs)) + xattrs + data

    def _entries(self, directory: Directory) -> _Entries:
        numbers = self._numbers
        entries = [(name, numbers[child], file_type(child)) for name, child in directory.children.items()]
        entries.append((b".", numbers[directory], FT_DIRECTORY))
        entries.append((b"..", self._parents[directory], FT_DIRECTORY))
        return entries


def _subdirectories(entries: _Entries) -> int:
    """Count the directories among the entries of a directory: as many links it has, with its own `.` and `..`."""
    return sum(kind == FT_DIRECTORY for _, _, kind in entries)
