"""What a registry says of a disk, and a disk of which nothing is said, are held against what the user names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.images import Spec, layout
from support.recorded import built
from support.registry import Registry
from support.tars import file, tar
from support.verity import flip

from builder import Addition, BuildOptions, GuestOptions, pull_disk, push, verify
from builder.errors import UsageError
from builder.output.beside import mark_pulled, metadata_path, read_as, unmarked
from builder.output.schema import Record

SPEC = Spec((tar(file("bin/sh", b"#!", mode=0o755)),), config={"Cmd": ["/bin/sh"]})
PLACE = "docker://registry.example/disks/web@sha256:" + "0" * 64


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", SPEC)
    return f"oci:{tmp_path}/image"


def changed(disk: Path, **fields: Any) -> Path:
    """Have the metadata of a disk say something else, as they were pulled."""
    path = metadata_path(disk)
    path.write_bytes(mark_pulled(json.dumps({**json.loads(path.read_bytes()), **fields}).encode(), PLACE))
    return disk


def test_the_image_that_a_registry_names_is_not_believed_unless_somebody_does(
    registry: Registry, image: str, tmp_path: Path
) -> None:
    reference = f"docker://{registry.host}/believed:1"
    pushed = push(built(image, tmp_path / "d.ext4"), reference)
    disk = pull_disk(reference, tmp_path / "p.ext4").output
    with pytest.raises(UsageError) as caught:
        verify(disk)
    place = f"docker://{registry.host}/believed@{pushed.digest}"
    said = f"{disk}: that it was made of '{image}' is the word of {place}; name the IMAGE, or believe it with"
    assert str(caught.value) == f"{said} --metadata {disk}.json"
    assert verify(disk, image).equal
    assert verify(disk, metadata=metadata_path(disk)).equal
    assert verify(disk, quick=True).equal
    # It is the same disk for whom it is handed on to.
    assert push(disk, f"docker://{registry.host}/believed:2").digest == pushed.digest


def test_no_file_of_this_machine_is_looked_at_because_a_registry_names_it(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "d.ext4", BuildOptions(additions=(Addition(b"evil", "/bin/evil"),)))
    # Who opens it waits for ever.
    os.mkfifo(tmp_path / "here")
    options = json.loads(metadata_path(disk).read_bytes())["options"]
    options["additions"] = [{**options["additions"][0], "add": str(tmp_path / "here")}]
    changed(disk, options={**options, "init": str(tmp_path / "here"), "cmd": '["/bin/evil"]'})
    found = verify(disk, image)
    assert [str(each) for each in found.differences] == ["/bin/evil: extra"]
    assert len(found.remarks) == 1


@pytest.mark.parametrize("where", ["no metadata", "a registry's"])
def test_init_is_recognised_and_held_against_our_own(image: str, tmp_path: Path, where: str) -> None:
    disk = built(image, tmp_path / "d.ext4")
    metadata_path(disk).unlink() if where == "no metadata" else changed(disk)
    found = verify(disk, image)
    assert (found.equal, found.differences) == (True, [])
    (remark,) = found.remarks
    assert remark.startswith("/.rootfs-builder and network files are held against those of a build without options: ")
    assert remark.isprintable()
    data = disk.read_bytes()
    flip(disk, data.index(b"\x7fELF") + 100)
    assert any(each.path == b"/.rootfs-builder/init" for each in verify(disk, image).differences)


def test_init_that_is_told_something_else_is_told(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "d.ext4", BuildOptions(guest=GuestOptions(cmd=("/bin/sh", "-c", "evil"))))
    metadata_path(disk).unlink()
    found = verify(disk, image)
    assert {each.path.rpartition(b"/")[0] for each in found.differences} == {b"/.rootfs-builder"}


@pytest.mark.parametrize("tail", [b"}", b"}\n", b"}\n\n "])
def test_metadata_are_marked_once_and_are_what_they_were_without_it(tmp_path: Path, tail: bytes) -> None:
    content = b'{"builder": "1", "disk": {"format": "ext4", "size": 1, "sha256": ""}, "pulledFrom": "here"' + tail
    marked = mark_pulled(content, PLACE)
    (tmp_path / "d.json").write_bytes(marked)
    found = read_as(Record, tmp_path / "d")
    assert found is not None
    assert found.pulled_from == PLACE
    assert mark_pulled(marked, PLACE) == marked
    assert unmarked(marked) == content
    assert unmarked(content) == content
