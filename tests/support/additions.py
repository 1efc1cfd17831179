"""A small image, sources beside it, and changes of every kind that are made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.images import Spec, layout
from support.tars import directory, file, symlink, tar

from builder import AddedTar, Addition, BuildOptions, Removal
from builder.additions.addition import Change
from builder.guest.options import GuestOptions

IMAGE = Spec((tar(directory("usr/bin"), symlink("bin", "usr/bin"), file("etc/motd", b"hello\n")),))


def write_image(place: Path) -> None:
    """Write the image as `oci:image`."""
    layout(place / "image", IMAGE)


def sources(place: Path = Path()) -> None:
    (place / "d/sub").mkdir(parents=True)
    (place / "app").write_bytes(b"#!/bin/sh\n")
    (place / "app").chmod(0o755)
    (place / "d/sub/f").write_bytes(b"f")
    (place / "d/s").symlink_to("sub/f")
    (place / "x.tar").write_bytes(tar(file("t", b"t")))


CHANGES: tuple[Change, ...] = (
    Addition("app", "/bin/"),
    Removal("/etc/motd"),
    Addition("d", "/srv", owner=(5, 6)),
    AddedTar("x.tar", "/opt"),
    Addition(b"conf", "/etc/app.conf", mode=0o600),
)


def options(*changes: Change, **more: Any) -> BuildOptions:
    return BuildOptions(additions=changes or CHANGES, **{"guest": GuestOptions(init="none"), **more})
