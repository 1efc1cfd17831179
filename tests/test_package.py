"""What `import builder` offers."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator

import pytest

import builder


def test_every_public_name_is_there_and_said() -> None:
    for name in builder.__all__:
        assert getattr(builder, name).__name__ == name
    assert dir(builder) == sorted(builder.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module builder has no attribute buidl"):
        builder.buidl  # noqa: B018


def _holders(options: object) -> Iterator[str]:
    """Name the types of options, and of what is held there."""
    if dataclasses.is_dataclass(options):
        yield type(options).__name__
        for field in dataclasses.fields(options):
            yield from _holders(getattr(options, field.name))


def test_all_that_options_are_said_with_and_that_comes_back_can_be_imported() -> None:
    actions = (builder.blank, builder.build, builder.pull_disk, builder.push, builder.verify)
    results = {typing.get_type_hints(action)["return"].__name__ for action in actions}
    assert results | set(_holders(builder.BuildOptions())) <= set(builder.__all__)
