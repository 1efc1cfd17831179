"""What mkfs.erofs was not told, written into its image: the tree, its metadata, and all that it did not compress."""

from __future__ import annotations

from builder.disk.erofs.image import Data, ErofsImage
from builder.disk.erofs.layout import (
    BLOCK,
    FLAT_INLINE,
    FLAT_PLAIN,
    encode_directory,
    encode_inode,
    encode_xattrs,
)
from builder.disk.erofs.place import Places, is_inline
from builder.disk.erofs.plan import Plan, direct_size, number_of
from builder.disk.numbering import FT_DIRECTORY, encode_device, file_type
from builder.errors import BuilderError
from builder.tree.nodes import Device, Directory, File, Node, Symlink


def restore(planned: Plan, image: ErofsImage) -> None:
    """Make the image of the files that were planned an image of their tree.

    Raises BuilderError if the image does not hold exactly those files.
    """
    numbers = _numbers(planned, image)
    for file in planned.packed:
        inode = image.inode(numbers[file])
        if inode.size != file.content.size:
            raise BuilderError(f"mkfs.erofs packed {inode.size} of {file.content.size} bytes of a file")
        image.restate(inode, file, _links(planned, file))
    # Every number before the first directory, which names them.
    free = Places(image.end)
    for node in planned.direct:
        numbers[node] = image.number_at(free.take(len(encode_xattrs(node.xattrs)), direct_size(node) % BLOCK))
    image.end = free.end
    root = image.inode(image.root)
    image.restate(root, planned.root, _links(planned, planned.root))
    # Parents come before their children: each directory finds its own parent here.
    parents = {planned.root: image.root}
    image.replace(root, _directory(planned.root, numbers, parents))
    for node in planned.direct:
        _write(planned, image, node, numbers[node], _data(node, numbers, parents))


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


def _links(planned: Plan, node: Node) -> int:
    if isinstance(node, Directory):
        return 2 + sum(isinstance(child, Directory) for child in node.children.values())
    return planned.links.get(node, 1)


def _write(planned: Plan, image: ErofsImage, node: Node, number: int, data: Data) -> None:
    """Write an inode and what belongs to it: attributes, data, or a device's numbers."""
    xattrs = encode_xattrs(node.xattrs)
    size = len(data) if isinstance(data, bytes) else data.size
    inline = is_inline(len(xattrs), size % BLOCK)
    appended = size - size % BLOCK if inline else size
    if isinstance(node, Device):
        content = encode_device(node.major, node.minor)
    else:
        content = image.append(data, appended) if appended else 0
    layout = FLAT_INLINE if inline else FLAT_PLAIN
    inode = encode_inode(node, number, layout, size, content, _links(planned, node), len(xattrs))
    image.write(number, inode + xattrs + image.read(data, appended))


def _data(node: Node, numbers: dict[Node, int], parents: dict[Directory, int]) -> Data:
    match node:
        case File():
            return node.content
        case Symlink():
            return node.target
        case Directory():
            return _directory(node, numbers, parents)
        case _:
            return b""


def _directory(node: Directory, numbers: dict[Node, int], parents: dict[Directory, int]) -> bytes:
    here = numbers[node]
    entries = [(b".", here, FT_DIRECTORY), (b"..", parents[node], FT_DIRECTORY)]
    for name, child in node.children.items():
        entries.append((name, numbers[child], file_type(child)))
        if isinstance(child, Directory):
            parents[child] = here
    return encode_directory(entries)
