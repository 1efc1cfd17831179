from __future__ import annotations

from pathlib import Path

from support.images import Spec, layout
from support.tars import file, symlink, tar, whiteout

from builder.actions.build import build
from builder.events import Event, Notice


def test_a_build_gives_notice_of_dropped_attributes_by_layer(tmp_path: Path) -> None:
    apple = {"com.apple.provenance": b"x", "user.kept": b"y"}
    layers = (
        tar(file("app", b"x", xattrs=apple), file("lib", xattrs=apple), symlink("s", "t", xattrs={"user.a": b"1"})),
        tar(file("f"), whiteout("lib")),
        tar(file("app", b"y", mode=0o755, xattrs={"btrfs.compression": b"zstd"})),
    )
    layout(tmp_path / "layout", Spec(layers, config={"Cmd": ["/app"]}))
    said: list[Event] = []
    build(f"oci:{tmp_path / 'layout'}", tmp_path / "disk.ext4", listen=said.append)
    texts = [event.text for event in said if isinstance(event, Notice)]
    assert [text.partition(" (")[0] + text.partition(")")[2] for text in texts] == [
        f"layer {layer}"
        for layer in (
            (
                "1 of 3: extended attribute 'com.apple.provenance' of file 'app' and 1 more left out: "
                "no file system of Linux keeps it"
            ),
            "1 of 3: extended attribute 'user.a' of symlink 's' left out: Linux does not serve it there",
            "3 of 3: extended attribute 'btrfs.compression' of file 'app' left out: no file system of Linux keeps it",
        )
    ]
