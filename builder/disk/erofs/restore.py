"""What mkfs.erofs was not told, written into its image: the tree, its metadata, and all that it did not compress."""

from __future__ import annotations

from builder.disk.erofs.image import Data, ErofsImage
from builder.disk.erofs.layout import (
    BLOCK,
    FLAT_INLINE,
    FLAT_PLAIN,
    FT_DIRECTORY,
    encode_device,
    encode_directory,
    encode_inode,
    encode_xattrs,
    file_type,
)
from builder.disk.erofs.place import Place, Places
from builder.disk.erofs.plan import Plan, direct_size, number_of
from builder.errors import BuilderError
from builder.tree.nodes import Device, Directory, File, Node, Symlink


def restore(planned: Plan, image: ErofsImage) -> None:
    """Make the image of the files that were planned an image of their tree.

    Raises BuilderError if the image does not hold exactly those files.
    """
    numbers = _numbers(planned, image)
    for file in planned.packed:
        inode = image.inode(numbers[id(file)])
        if inode.size != file.content.size:
            raise BuilderError(f"mkfs.erofs packed {inode.size} of {file.content.size} bytes of a file")
        image.restate(inode, file, _links(planned, file))
    places = _places(planned, image, numbers)
    root = image.inode(image.root)
    image.restate(root, planned.root, _links(planned, planned.root))
    # Parents come before their children: each directory finds its own parent here.
    parents = {id(planned.root): image.root}
    image.replace(root, _directory(planned.root, numbers, parents))
    for node, place in zip(planned.direct, places, strict=True):
        _write(planned, image, node, place, numbers[id(node)], _data(node, numbers, parents))


def _numbers(planned: Plan, image: ErofsImage) -> dict[int, int]:
    """Find the numbers of the inodes that mkfs.erofs made, by `id()` of the node; erase directories it was fed."""
    numbers = {id(planned.root): image.root}
    for directory, nid in image.entries(image.inode(image.root)):
        inode = image.inode(nid)
        for name, found in image.entries(inode):
            numbers[id(planned.packed[number_of(directory, name)])] = found
        image.erase(inode)
    if len(numbers) != 1 + len(planned.packed):
        raise BuilderError("mkfs.erofs left something out of the image")
    return numbers


def _places(planned: Plan, image: ErofsImage, numbers: dict[int, int]) -> list[Place]:
    """Find a place for each inode that mkfs.erofs did not make, and add its number to `numbers`."""
    free = Places(image.end)
    places = [free.take(len(encode_xattrs(node.xattrs)), direct_size(node) % BLOCK) for node in planned.direct]
    image.end = free.end
    numbers.update(
        (id(node), image.number_at(place.position)) for node, place in zip(planned.direct, places, strict=True)
    )
    return places


def _links(planned: Plan, node: Node) -> int:
    if isinstance(node, Directory):
        return 2 + sum(isinstance(child, Directory) for child in node.children.values())
    return planned.links.get(id(node), 1)


def _write(planned: Plan, image: ErofsImage, node: Node, place: Place, number: int, data: Data) -> None:
    """Write an inode and what belongs to it: attributes, data, or a device's numbers."""
    size = len(data) if isinstance(data, bytes) else data.size
    appended = size - size % BLOCK if place.inline else size
    if isinstance(node, Device):
        content = encode_device(node.major, node.minor)
    else:
        content = image.append(data, appended) if appended else 0
    xattrs = encode_xattrs(node.xattrs)
    layout = FLAT_INLINE if place.inline else FLAT_PLAIN
    inode = encode_inode(node, number, layout, size, content, _links(planned, node), len(xattrs))
    image.write(place.position, inode + xattrs + image.read(data, appended))


def _data(node: Node, numbers: dict[int, int], parents: dict[int, int]) -> Data:
    match node:
        case File():
            return node.content
        case Symlink():
            return node.target
        case Directory():
            return _directory(node, numbers, parents)
        case _:
            return b""


def _directory(node: Directory, numbers: dict[int, int], parents: dict[int, int]) -> bytes:
    here = numbers[id(node)]
    entries = [(b".", here, FT_DIRECTORY), (b"..", parents[id(node)], FT_DIRECTORY)]
    for name, child in node.children.items():
        entries.append((name, numbers[id(child)], file_type(child)))
        if isinstance(child, Directory):
            parents[id(child)] = here
    return encode_directory(entries)
