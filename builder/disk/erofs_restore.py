"""What mkfs.erofs was not told, written into its image: the tree, its metadata, and content that it did not pack."""

from __future__ import annotations

from builder.disk.erofs_image import Data, ErofsImage, Inode
from builder.disk.erofs_layout import FT_DIRECTORY, encode_device, encode_directory, file_type, type_bits
from builder.disk.erofs_plan import PACKED, Plan, number_of
from builder.errors import BuilderError
from builder.tree.nodes import Device, Directory, Fifo, File, Node, Symlink


def restore(planned: Plan, image: ErofsImage) -> None:
    """Make the image of the files that were planned an image of their tree.

    Raises BuilderError if the image does not hold exactly those files.
    """
    numbers = _numbers(planned, image)
    for file in planned.packed:
        inode = image.inode(numbers[id(file)])
        if inode.size != file.content.size:
            raise BuilderError(f"mkfs.erofs packed {inode.size} of {file.content.size} bytes of a file")
        _set_metadata(planned, image, inode, file)
    root = image.inode(image.root)
    _set_metadata(planned, image, root, planned.root)
    # Parents come before their children: each directory finds its own parent here.
    parents = {id(planned.root): image.root}
    image.replace(root, _directory(planned.root, numbers, parents))
    for node in planned.direct:
        inode = image.inode(numbers[id(node)])
        _set_metadata(planned, image, inode, node)
        image.fill(inode, _data(node, numbers, parents))
        match node:
            case Device():
                image.set_device(inode, encode_device(node.major, node.minor))
            case Fifo():
                image.set_device(inode, 0)


def _numbers(planned: Plan, image: ErofsImage) -> dict[int, int]:
    """Find the number of each inode, by `id()` of its node, and erase the directories where they were fed."""
    numbers = {id(planned.root): image.root}
    for directory, nid in image.entries(image.inode(image.root)):
        nodes: list[File] | list[Node] = planned.packed if directory.startswith(PACKED) else planned.direct
        inode = image.inode(nid)
        for name, found in image.entries(inode):
            numbers[id(nodes[number_of(directory, name)])] = found
        image.erase(inode)
    if len(numbers) != 1 + len(planned.packed) + len(planned.direct):
        raise BuilderError("mkfs.erofs left something out of the image")
    return numbers


def _set_metadata(planned: Plan, image: ErofsImage, inode: Inode, node: Node) -> None:
    links = planned.links.get(id(node), 1)
    if isinstance(node, Directory):
        links = 2 + sum(isinstance(child, Directory) for child in node.children.values())
    # A symlink has no mode of its own: Linux shows 0777 whatever the layer says.
    mode = 0o777 if isinstance(node, Symlink) else node.mode
    image.set_metadata(inode, type_bits(node) | mode, node.uid, node.gid, links)
    image.set_mtime(inode, node.mtime_ns)
    image.set_xattrs(inode, node.xattrs)


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
