"""What an image's own files say goes into the description only where it can mean something."""

from __future__ import annotations

import pytest

from builder.guest.bootable import _host_name


@pytest.mark.parametrize("content", [b"", b"a\0b\n", b"two words\n", b"\xff\n", b"x" * 65, b"a\nb\n", b"\x1b[2J"])
def test_what_is_no_host_name_is_none(content: bytes) -> None:
    assert _host_name(content) == ""


def test_an_images_host_name_is_taken() -> None:
    assert _host_name(b"web.example\n") == "web.example"
