"""The tar stream that mkfs.erofs gets."""

from __future__ import annotations

import io
import os
import tarfile
import threading

from builder.disk.erofs.layout import placeholder
from builder.disk.erofs.plan import plan
from builder.disk.erofs.tar import write_tar
from builder.tree.nodes import Device, Directory, File, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def stream(tree: Tree, spool: Spool, compressed: bool) -> bytes:
    """Write a tree through a real pipe and return what came out."""
    reader, writer = os.pipe()
    received = io.BytesIO()

    def read() -> None:
        with open(reader, "rb") as pipe:
            received.write(pipe.read())

    thread = threading.Thread(target=read)
    thread.start()
    with open(writer, "wb") as pipe:
        write_tar(plan(tree, spool, 1 if compressed else None), spool, pipe)
    thread.join()
    return received.getvalue()


def members(data: bytes) -> list[tuple[str, bytes, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = []
        for member in tar:
            content = tar.extractfile(member)
            found.append((member.name, member.type, content.read() if content else b""))
        return found


def sample(spool: Spool) -> Tree:
    shared = File(content=spool.keep(b"s" * 5000))
    holes = File(content=spool.add(200_000, [(0, b"h")]))
    tree = Tree()
    tree.root.children = {
        b"a": shared,
        b"b": Directory(children={b"shared": shared, b"holes": holes}),
        b"c": Symlink(target=b"../x"),
        b"d": Device(major=1, minor=3),
    }
    return tree


def test_it_has_the_content_of_each_file_once_holes_as_zeros_and_nothing_else(spool: Spool) -> None:
    assert members(stream(sample(spool), spool, compressed=True)) == [
        (".", tarfile.DIRTYPE, b""),
        ("0000", tarfile.DIRTYPE, b""),
        ("0000/000", tarfile.REGTYPE, b"s" * 5000),
        ("0000/001", tarfile.REGTYPE, b"h" + bytes(199_999)),
    ]


def test_it_has_nothing_where_nothing_is_compressed(spool: Spool) -> None:
    assert members(stream(sample(spool), spool, compressed=False)) == [(".", tarfile.DIRTYPE, b"")]


def test_a_directory_of_the_stream_has_at_most_a_thousand_files(spool: Spool) -> None:
    tree = Tree()
    content = spool.keep(b"x")
    tree.root.children = {b"%d" % number: File(content=content) for number in range(2001)}
    names = [name for name, _, _ in members(stream(tree, spool, compressed=True))]
    assert len(names) == 1 + 3 + 2001
    assert names[-2:] == ["0002", "0002/000"]


def test_attributes_are_one_placeholder_in_an_extended_header(spool: Spool) -> None:
    xattrs = {b"trusted.x": b"1" * 1000, b"user.a=b": b"\n\0"}
    tree = Tree(Directory(xattrs=xattrs))
    name, value = placeholder(xattrs)
    record = b" SCHILY.xattr." + name + b"=" + value + b"\n"
    data = stream(tree, spool, compressed=False)
    assert data[156:157] == b"x"
    size = int(data[124:135], 8)
    assert data[512 : 512 + size] == b"%d" % size + record
