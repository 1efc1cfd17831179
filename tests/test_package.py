"""What `import builder` offers."""

from __future__ import annotations

import pytest

import builder


def test_every_public_name_is_there_and_said() -> None:
    for name in builder.__all__:
        assert getattr(builder, name).__name__ == name
    assert dir(builder) == sorted(builder.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module builder has no attribute buidl"):
        builder.buidl  # noqa: B018
