"""Images for other machines than this one: taken where there is no choice, and not without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder.actions.build import build
from builder.actions.unpack import unpack
from builder.events import Event, Notice
from builder.image.platform import Platform
from builder.options import BuildOptions

HOST = str(Platform.host())
FOREIGN = "linux/arm64" if HOST != "linux/arm64" else "linux/amd64"
SAID = f"the image is for {FOREIGN}, and this machine is {HOST}; where that is meant, say so with --platform"


def write(path: Path, platform: str) -> str:
    layout(path, Spec((tar(file("file", b"content")),), platform=platform, config={"Cmd": ["/file"]}))
    return f"oci:{path}"


def said(place: Path, reference: str, platform: str | None = None) -> list[str]:
    """Build a disk and unpack a directory; return what both say of machines."""
    heard: list[Event] = []
    options = BuildOptions(platform=Platform.parse(platform) if platform else None)
    build(reference, place / "disk.ext4", options, heard.append)
    unpack(reference, place / "directory", options, heard.append)
    return [event.text for event in heard if isinstance(event, Notice) and "machine" in event.text]


def test_an_image_for_other_machines_is_said_to_be_for_them(tmp_path: Path) -> None:
    reference = write(tmp_path / "image", FOREIGN)
    assert said(tmp_path, reference) == [f"{reference}: {SAID}"] * 2


def test_nothing_is_said_where_other_machines_were_asked_for(tmp_path: Path) -> None:
    assert said(tmp_path, write(tmp_path / "image", FOREIGN), FOREIGN) == []


@pytest.mark.parametrize("platform", [HOST, "/"])
def test_nothing_is_said_of_an_image_for_this_machine_or_for_any(tmp_path: Path, platform: str) -> None:
    assert said(tmp_path, write(tmp_path / "image", platform)) == []
