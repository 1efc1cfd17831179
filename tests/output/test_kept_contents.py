"""What a disk holds, kept with it: it comes back as it was, and what is none of it says so."""

from __future__ import annotations

import json
import os
import random
from base64 import b64encode
from pathlib import Path
from string import ascii_letters, digits

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder.actions.build import build
from builder.options import BuildOptions
from builder.output.kept_contents import contents_beside, pack_contents, unpack_contents
from builder.tree.contents import Contents

HELD = Contents(10, 2, 15, {"/a/": 10, "/a/\udcff": 7})


def test_contents_come_back_as_they_were() -> None:
    assert unpack_contents(pack_contents(HELD)) == HELD


@pytest.mark.parametrize("text", ["", "?", "AAAA", pack_contents(HELD)[:40], b64encode(b"x" * 9).decode()])
def test_what_is_no_contents_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack_contents(text)


def test_what_only_stands_where_metadata_would_tells_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    assert contents_beside(disk) is None
    beside = tmp_path / "disk.json"
    large, few = 10**400, '"size": -1, "files": 0, "brought": 0, "largest": {}'
    many = f'"size": 1, "files": 1, "brought": 1, "largest": {{"/a": {large}}}'
    odd = [f'{{"contents": {{{each}}}}}' for each in (few, many, few.replace("-1", str(large)))]
    for words in ("", "[]", "{}", '{"contents": 5}', '{"contents": null}', "[" * 100_000, *odd):
        beside.write_text(words)
        assert contents_beside(disk) is None
    beside.write_text(json.dumps({"contents": {"size": 10, "files": 2, "brought": 15, "largest": HELD.largest}}))
    assert contents_beside(disk) == HELD
    beside.unlink()
    os.mkfifo(beside)
    assert contents_beside(disk) is None


def test_metadata_have_the_contents_also_where_the_attribute_has_no_room_for_them(tmp_path: Path) -> None:
    names = random.Random(5)
    members = [file("".join(names.choices(ascii_letters + digits, k=190)), b"x") for _ in range(40)]
    layout(tmp_path / "image", Spec((tar(*members),)))
    disk, plain = tmp_path / "disk.ext4", BuildOptions()
    with_metadata = BuildOptions(metadata_file=tmp_path / "disk.ext4.json")
    build(f"oci:{tmp_path / 'image'}", disk, plain)
    # A long attribute in no one's way: what is up to date stays that, as long as nobody asks for more.
    assert not build(f"oci:{tmp_path / 'image'}", disk, plain).built
    build(f"oci:{tmp_path / 'image'}", disk, with_metadata)
    held = contents_beside(disk)
    assert held is not None
    assert held.largest
    assert not build(f"oci:{tmp_path / 'image'}", disk, with_metadata).built
