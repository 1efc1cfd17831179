"""What was added decides a disk: its UUID, its metadata, what make watches, and whether it is up to date."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.additions import options, sources, write_image
from support.tars import file, tar

from builder import AddedTar, Addition, BuildOptions, Removal, build
from builder.additions.addition import Change
from builder.additions.survey import identity_with, survey
from builder.disk.filesystem import DiskOptions
from builder.guest.options import GuestOptions
from builder.limits import Limits


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    write_image(tmp_path)


def identity(*changes: Change) -> bytes:
    return identity_with(b"image", survey(changes, Limits()))


def test_everything_counts_for_the_derived_uuid_but_where_it_comes_from() -> None:
    sources()
    shutil.copy("app", "same")
    shutil.copy("app", "other")
    Path("other").chmod(0o644)
    identities = {
        "nothing": identity(),
        "a file": identity(Addition("app", "/x")),
        "another target": identity(Addition("app", "/y")),
        "another content": identity(Addition("x.tar", "/x")),
        "another mode here": identity(Addition("other", "/x")),
        "a mode": identity(Addition("app", "/x", mode=0o600)),
        "an owner": identity(Addition("app", "/x", owner=(0, 1))),
        "a directory": identity(Addition("d", "/x")),
        "its mode": identity(Addition("d", "/x", mode=0o755)),
        "its owner": identity(Addition("d", "/x", owner=(0, 0))),
        "a symlink": identity(Addition("d/s", "/x")),
        "a tar": identity(AddedTar("x.tar")),
        "a tar elsewhere": identity(AddedTar("x.tar", "/x")),
        "a removal": identity(Removal("/etc/motd")),
        "two": identity(Addition("app", "/x"), Removal("/etc/motd")),
        "the other order": identity(Removal("/etc/motd"), Addition("app", "/x")),
    }
    assert len(set(identities.values())) == len(identities)
    assert identities["nothing"] == b"image"
    same = [
        Addition("same", "/x"),
        Addition(os.path.abspath("app"), "/x"),
        Addition(b"#!/bin/sh\n", "/x", mode=0o755),
        Addition("app", "/x", owner=(0, 0)),
    ]
    assert {identity(each) for each in same} == {identities["a file"]}
    assert identity(Addition("app", "/bin/")) == identity(Addition("app", "//bin/./app"))


@pytest.mark.parametrize(
    "guest", [GuestOptions(init="none"), GuestOptions(init="auto", cmd=("/x",))], ids=["none", "auto"]
)
def test_the_uuid_of_a_disk_is_derived_from_what_was_added_too(guest: GuestOptions) -> None:
    sources()
    changes: tuple[tuple[Change, ...], ...] = ((), (Addition("app", "/x"),), (Addition("d", "/x"),))
    disks = [build("oci:image", "x.ext4", BuildOptions(additions=each, guest=guest)).disk for each in changes]
    assert len({disk.uuid for disk in disks}) == len(disks)


METADATA = options(disk=DiskOptions(size=32 << 20), metadata_file=Path("m.json"))


def records() -> list[dict[str, Any]]:
    return list(json.loads(Path("m.json").read_text())["options"]["additions"])


def test_metadata_have_each_path_as_said_and_its_digest() -> None:
    sources()
    build("oci:image", "x.ext4", METADATA)
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (b"#!/bin/sh\n", b"conf")]
    tarred = f"sha256:{hashlib.sha256(Path('x.tar').read_bytes()).hexdigest()}"
    found = records()
    of_directory = found[2].pop("digest")
    assert found == [
        {"add": "app", "target": "/bin/app", "digest": digests[0], "mode": "0755", "owner": "0:0"},
        {"remove": "/etc/motd"},
        {"add": "d", "target": "/srv", "mode": None, "owner": "5:6"},
        {"addTar": "x.tar", "target": "/opt", "digest": tarred},
        {"add": None, "target": "/etc/app.conf", "digest": digests[1], "mode": "0600", "owner": "0:0"},
    ]
    Path("d/sub/f").write_bytes(b"g")
    build("oci:image", "x.ext4", METADATA)
    assert records()[2]["digest"] != of_directory


def linked(target: str) -> str:
    os.symlink(target, "link")
    return "link"


def touched(*paths: str) -> None:
    for path in paths:
        os.utime(path, (7, 7))


CHANGED: dict[str, Callable[[], object]] = {
    "a file": lambda: Path("app").write_bytes(b"#!/bin/SH\n"),
    "whether it may be executed": lambda: Path("app").chmod(0o644),
    "a file in a directory": lambda: Path("d/sub/f").write_bytes(b"g"),
    "the same of a file in a directory": lambda: Path("d/sub/f").chmod(0o755),
    "a symlink": lambda: os.replace(linked("sub/g"), "d/s"),
    "one more directory": lambda: Path("d/new").mkdir(),
    "a name": lambda: Path("d/sub/f").rename("d/sub/g"),
    "a tar": lambda: Path("x.tar").write_bytes(tar(file("t", b"T"))),
}
UNCHANGED: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "times": lambda: touched("app", "d", "d/sub/f", "x.tar"),
    "modes that do not count": lambda: Path("app").chmod(0o700),
    "another file": lambda: Path("beside").touch(),
}


@pytest.mark.parametrize("what", [*CHANGED, *UNCHANGED])
def test_a_disk_is_up_to_date_as_long_as_what_was_added_is_the_same(what: str) -> None:
    sources()
    # Either of both, with and without a file system that keeps attributes.
    build("oci:image", "x.ext4", METADATA)
    (CHANGED | UNCHANGED)[what]()
    assert build("oci:image", "x.ext4", METADATA).built is (what in CHANGED)


def test_a_disk_is_built_again_for_other_changes_or_another_order() -> None:
    sources()
    two = Addition("app", "/a"), Removal("/etc/motd")
    build("oci:image", "x.ext4", replace(METADATA, additions=two))
    for other in ((two[1], two[0]), two[:1], (replace(two[0], mode=0o600), two[1]), two):
        assert build("oci:image", "x.ext4", replace(METADATA, additions=other)).built
    assert not build("oci:image", "x.ext4", replace(METADATA, additions=two)).built


def test_the_dependency_file_names_every_file_and_directory_that_was_read() -> None:
    sources()
    again = []
    for _ in range(2):
        again.append(build("oci:image", "x.ext4", options(depfile=Path("dep"))).built)
        rule = Path("dep").read_text().partition("\n\n")[0]
        names = [word for word in rule.split() if word not in ("x.ext4:", "\\") and not word.startswith("image/")]
        assert names == ["app", "d", "d/sub", "d/sub/f", "x.tar"]
        Path("dep").unlink()
    assert again[0]
