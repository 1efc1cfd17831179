"""Streams: compressions, tars, layers, archives of images, and layers as they are kept."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from support import images, tars
from support.damaged_tars import MEMBERS, check
from support.disks import tree_of
from support.everything import ACCESS_ACL, CAPABILITY
from support.everything import acl as acl_of
from support.fuzz.mutate import of_tar, of_text
from support.fuzz.target import Target, refused

from builder.actions.merge import merge
from builder.additions.addition import AddedTar
from builder.additions.tar import read_tar
from builder.archive import acl
from builder.archive.compression import COMPRESSIONS, detect
from builder.archive.index import index
from builder.decoded import content, layer_file
from builder.events import ignore
from builder.guest.files import wanting
from builder.guest.modules import load_order, unsigned
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Layer
from builder.layers.account import Account
from builder.layers.estargz import TOC_ANNOTATION
from builder.layers.stream import open_layer
from builder.limits import Limits
from builder.options import BuildOptions
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.resolve import resolve
from builder.tree.merge import apply_layer
from builder.tree.nodes import Directory, File
from builder.tree.read import read_layer
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree

# Of the size of what is given to them: a few hundred kilobytes may not take gigabytes of disk, nor minutes.
LIMITS = Limits(max_size=32 << 20, max_entries=10_000)


def inflated(compression: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        detect(data[:512])
        count = 0
        for chunk in COMPRESSIONS[compression].decompress(data[i : i + 700] for i in range(0, len(data), 700)):
            # Small pieces are joined, and to them comes one of a MiB at most.
            assert len(chunk) < 2 << 20
            count += len(chunk)
            if count > 64 << 20:
                return

    return run


def packed(compression: str) -> Callable[[], list[bytes]]:
    plain = b"".join(b"%d " % (number % 97) for number in range(3000))
    pack = images.COMPRESS[compression]
    return lambda: [pack(plain), pack(b""), pack(b"a") + pack(b"b"), pack(bytes(1 << 16))]


def members() -> list[bytes]:
    return [tars.tar(each) for each in MEMBERS] + [tars.tar(*MEMBERS[:3]), tars.tar(*MEMBERS[9:14])]


def indexed(data: bytes) -> None:
    index(io.BytesIO(data))


class Blob:
    """A source that holds one blob."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def root(self) -> Descriptor:
        raise AssertionError("nobody asks a layer's source for its root")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(self.data)

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def layer(data: bytes) -> None:
    """Merge a layer into a tree of one file; it is what its digests say, however it is packed."""
    plain = data
    with refused():
        plain = b"".join(COMPRESSIONS[detect(data[:512])].decompress([data]))[: 64 << 20]
    blob = Descriptor(images.MEDIA_TYPES["gzip"], Digest.of(data), len(data), annotations={TOC_ANNOTATION: "x"})
    with tempfile.TemporaryDirectory() as place, open_spool(Path(place)) as spool:
        tree = Tree()
        for number, (source, described, diff_id) in enumerate(
            ((FIRST, Descriptor(images.LAYER, Digest.of(FIRST), len(FIRST)), FIRST), (data, blob, plain))
        ):
            one = Layer(number, 2, described, Digest.of(diff_id))
            with open_layer(Blob(source), one, Account(LIMITS), ignore) as stream:
                entries = read_layer(stream, spool)
            apply_layer(tree, one.name, entries)


FIRST = tars.tar(tars.directory("d"), tars.file("f", b"first"), tars.symlink("s", "d"))
LAYER = tars.tar(
    *(tars.file("d/.wh.x"), tars.directory("d"), tars.file("d/.wh..wh..opq"), tars.file("s/new", b"content")),
    *(
        tars.hardlink("h", "f"),
        tars.symlink("l", "../d"),
        tars.file("x" * 150, xattrs={"security.capability": CAPABILITY}),
        tars.fifo("p"),
        # An owner that octal digits cannot say.
        tars.raw("o", b"0", uid=tars.base256(3_000_000, 8)),
    ),
)


def merged(reference: str) -> None:
    """Find an image, and merge its layers."""
    with tempfile.TemporaryDirectory() as place, open_spool(Path(place)) as spool:
        with closing(open_source(reference, means=Means(Path(place), limits=LIMITS))) as source:
            merge(source, resolve(source, reference, None), spool, BuildOptions(limits=LIMITS), ignore)


def image(prefix: str, name: str) -> Callable[[bytes], None]:
    """Open an archive, find the image in it, and merge its layers."""

    def run(data: bytes) -> None:
        Path(name).write_bytes(data)
        merged(f"{prefix}{name}")

    return run


SPEC = images.Spec((FIRST, LAYER), tag="example:1")


def archive(write: Callable[..., object], **words: object) -> bytes:
    write(Path("seed"), SPEC, **words)
    return Path("seed").read_bytes()


def guest_files(data: bytes) -> None:
    """Look at the few files of an image that say what a machine needs."""
    with tempfile.TemporaryDirectory() as place, open_spool(Path(place)) as spool:
        names = (b"hosts", b"hostname", b"resolv.conf")
        wanting(tree_of(etc=Directory(children={name: File(content=spool.keep(data)) for name in names})), spool)


def added(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place, open_spool(Path(place)) as spool:
        read_tar(AddedTar(data), hashlib.sha256(data).hexdigest(), spool, Account(LIMITS), "added")


def kept() -> list[bytes]:
    """Give layers as the cache has them."""
    found = []
    for data in (LAYER, FIRST, tars.tar(tars.file("zeros", bytes(9000)), tars.file("b", b"b" * 9000, mtime=-5))):
        with open("kept", "w+b") as file:
            sums = content.Checksums()
            spool = Spool(file.fileno(), sums.take)
            one = Layer(0, 1, Descriptor(images.LAYER, Digest.of(data), len(data)), Digest.of(data))
            account = Account(LIMITS)
            with open_layer(Blob(data), one, account, ignore) as stream:
                entries = read_layer(stream, spool)
            spool.settle()
            layer_file.write(
                *(file.fileno(), DIFF_ID, "", account.since(Account(LIMITS))),
                *(content.Content(spool.end, spool.runs, sums.sums), entries),
            )
            found.append(Path("kept").read_bytes())
    return found


DIFF_ID = "sha256:" + "0" * 64


def decoded(data: bytes) -> None:
    with open("kept", "w+b") as file:
        file.write(data)
        file.flush()
        found = layer_file.read(file.fileno(), len(data), DIFF_ID)
        content.verify(file.fileno(), found.content)
        list(layer_file.entries(file.fileno(), found, 4096))


def sealed(data: bytes) -> None:
    """Read a layer as it is kept whose hash is right, as after a change in memory before it was written."""
    trailer = struct.Struct("<17sQQ32s")
    if len(data) >= trailer.size:
        magic, start, size, _ = trailer.unpack(data[-trailer.size :])
        hashed = hashlib.sha256(data[start : start + size] + trailer.pack(magic, start, size, b""))
        data = data[: -trailer.size] + trailer.pack(magic, start, size, hashed.digest())
    decoded(data)


def modules(data: bytes) -> None:
    place = Path("modules")
    place.mkdir(exist_ok=True)
    (place / "ext4.ko").write_bytes(data)
    (place / "overlay.ko.gz").write_bytes(gzip.compress(data, 1))
    (place / "erofs.ko.xz").write_bytes(data)
    (place / "virtio_net.ko.zst").write_bytes(data)
    for name in ("ext4", "overlay", "erofs", "virtio_net"):
        with refused():
            for found in load_order(place, (name,)):
                unsigned(found.content)


def lists(data: bytes) -> None:
    """Read an ACL in both of its forms."""
    acl.is_valid(data)
    if acl.is_valid(data):
        acl.extension(data)
        acl.permission_bits(data)
        acl.is_minimal(data)
    acl.encode(data)


SIGNED = b"\x7fELF" + bytes(60) + b"\0depends=jbd2,mbcache\0" + bytes(12) + b"~Module signature appended~\n"
ACLS = [b"user::rwx,user:1000:rw-,group::r-x,mask::rwx,other::---", ACCESS_ACL, acl_of()]

TARGETS = {
    **{name: Target(inflated(name), packed(name)) for name in COMPRESSIONS},
    "tar": Target(check, members, of_tar),
    "tar-index": Target(indexed, members, of_tar),
    "acl": Target(lists, lambda: ACLS),
    "layer": Target(layer, lambda: [LAYER, *members()], of_tar),
    "layer-packed": Target(layer, lambda: [pack(LAYER) for pack in images.COMPRESS.values()]),
    "added-tar": Target(added, lambda: [LAYER, *members()], of_tar),
    "oci-archive": Target(
        image("oci-archive:", "image.tar"),
        lambda: [archive(images.oci_archive), archive(images.oci_archive, outer="gzip")],
        of_tar,
    ),
    "docker-archive": Target(
        image("docker-archive:", "image.tar"),
        lambda: [
            archive(images.docker_archive, style=style, outer=outer)
            for style, outer in (("old", "none"), ("new", "xz"))
        ],
        of_tar,
    ),
    "zip": Target(image("oci:zip://", "image.zip"), lambda: [archive(images.layout_zip)]),
    "recognised": Target(
        image("", "image"),
        lambda: [archive(images.oci_archive), archive(images.docker_archive), archive(images.layout_zip)],
        of_tar,
    ),
    "guest-files": Target(
        guest_files, lambda: [b"# left\n127.0.0.1 localhost 0123456789ab\nnameserver ::1\n"], of_text
    ),
    "decoded-layer": Target(decoded, kept, allowed=(content.Damaged, OSError)),
    "decoded-layer-sealed": Target(sealed, kept, allowed=(content.Damaged, OSError)),
    "modules": Target(modules, lambda: [SIGNED, images.COMPRESS["xz"](SIGNED), images.COMPRESS["zstd"](SIGNED)]),
}
