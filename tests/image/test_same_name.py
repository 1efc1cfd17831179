"""Image names as Docker understands them."""

from __future__ import annotations

import pytest

from builder.image.name import normalise, same_name


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("me/app", "docker.io/me/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("example.com/app:1", "example.com/app:1"),
        ("example.com:5000/app", "example.com:5000/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
    ],
)
def test_short_names_are_written_in_full(name: str, full: str) -> None:
    assert normalise(name) == full
    assert normalise(full) == full


def test_a_name_that_is_missing_is_nobodys() -> None:
    assert not same_name(None, "busybox")
    assert same_name("docker.io/library/busybox:latest", "busybox")
    assert not same_name("busybox:1", "busybox:2")
