"""What cannot be meant is wrong usage from Python, too, and nothing is done for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import BuildOptions, DiskOptions, build
from builder.errors import UsageError


@pytest.mark.parametrize(
    "said",
    [
        BuildOptions(format="xfs"),
        BuildOptions(disk=DiskOptions(free=-(1 << 30))),
        BuildOptions(disk=DiskOptions(inodes=0)),
        BuildOptions(source_date_epoch=-1),
        BuildOptions(sandbox="required"),
    ],
    ids=str,
)
def test_python_is_told_of_the_mistakes_that_the_command_line_is_told_of(said: BuildOptions, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build("oci:nowhere", tmp_path / "disk.ext4", said)
    assert list(tmp_path.iterdir()) == []
