"""Numbers that both formats take from the kernel."""

from __future__ import annotations

import pytest

from builder.disk.numbering import encode_device, file_type, split_xattr
from builder.tree.nodes import Device, Directory, Fifo, File, Node, Symlink


def test_a_directory_entry_shows_the_type_of_its_file() -> None:
    nodes: list[Node] = [File(), Directory(), Device(), Device(block=True), Fifo(), Symlink()]
    assert [file_type(node) for node in nodes] == [1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (b"user.mime_type", (1, b"mime_type")),
        (b"system.posix_acl_access", (2, b"")),
        (b"system.posix_acl_default", (3, b"")),
        (b"trusted.overlay.opaque", (4, b"overlay.opaque")),
        (b"security.capability", (6, b"capability")),
        (b"system.posix_acl_accessory", (0, b"system.posix_acl_accessory")),
        (b"system.nfs4_acl", (0, b"system.nfs4_acl")),
    ],
)
def test_a_known_prefix_becomes_its_number(name: bytes, split: tuple[int, bytes]) -> None:
    assert split_xattr(name) == split


@pytest.mark.parametrize(
    ("major", "minor", "encoded"), [(1, 3, 0x103), (8, 256, 0x100800), (4095, 0xFFFFF, 0xFFFFFFFF)]
)
def test_device_numbers_are_encoded_as_in_the_kernel(major: int, minor: int, encoded: int) -> None:
    assert encode_device(major, minor) == encoded
