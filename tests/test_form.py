"""Values as people write them: what is meant is read, and anything else is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builder.errors import UsageError
from builder.form import parse_count, parse_size, parse_truth, parse_uuid, write_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("4096B", 4096),
        ("512M", 512 << 20),
        ("512MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("50MB", 50_000_000),
        ("1.5kb", 1500),
        ("2TB", 2 * 10**12),
    ],
)
def test_a_size_means_what_it_says(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(write_size(size)) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1 0", "0x10", "2iB", "1E", "1MBit", "8388608T", "9" * 5000, "\u0661"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(("parse", "text"), [(parse_count, "0"), (parse_uuid, "1"), (parse_truth, "maybe")])
def test_what_cannot_be_read_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(UsageError, match=repr(text)):
        parse(text)
