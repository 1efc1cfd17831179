from __future__ import annotations

import pytest

from builder.disk import FILESYSTEMS, format_of
from builder.errors import UsageError


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
