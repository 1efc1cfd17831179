from __future__ import annotations

from pathlib import Path

import pytest

from builder.disk import FILESYSTEMS, format_of
from builder.disk.filesystem import DiskOptions
from builder.errors import UsageError
from builder.events import ignore
from builder.tree.spool import open_spool
from builder.tree.tree import Tree


def test_every_format_is_under_its_own_name() -> None:
    assert {name: filesystem.name for name, filesystem in FILESYSTEMS.items()} == {"ext4": "ext4", "erofs": "erofs"}


@pytest.mark.parametrize(
    ("output", "found"),
    [("r.ext4", "ext4"), ("a.b.erofs", "erofs"), ("r.ext4.img", "ext4"), ("r.erofs.raw", "erofs"), (".ext4", "ext4")],
)
def test_the_output_name_says_the_format(output: str, found: str) -> None:
    assert format_of(output) == found


@pytest.mark.parametrize("output", ["disk", "ext4", "disk.img", "disk.ext3", "erofs.d"])
def test_a_name_that_says_no_format_is_refused_with_those_there_are(output: str) -> None:
    with pytest.raises(UsageError, match=rf"{output}: its name says no format; .*ext4\|erofs"):
        format_of(output)


@pytest.mark.parametrize("format", FILESYSTEMS)
@pytest.mark.parametrize(("asked", "size"), [(33_333_333, 33_337_344), (50_000_000, 50_003_968), (1 << 25, 1 << 25)])
def test_a_disk_has_at_least_the_size_asked_for_in_whole_blocks(
    tmp_path: Path, format: str, asked: int, size: int
) -> None:
    with open_spool(tmp_path) as spool:
        options = DiskOptions(seed=bytes(32), size=asked)
        facts = FILESYSTEMS[format].pack(Tree(), spool, options, tmp_path, tmp_path / "disk", ignore)
    assert ((tmp_path / "disk").stat().st_size, facts.size) == (size, size)
    FILESYSTEMS[format].verify(tmp_path / "disk", tmp_path)
