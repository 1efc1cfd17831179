"""A registry whose answers are as odd as a test wants them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.odd import IMAGE
from support.raw import RawRegistry


@pytest.fixture
def raw(home: object) -> Iterator[RawRegistry]:
    """The image of support/odd.py, on loopback over plain HTTP."""
    made = RawRegistry(IMAGE)
    made.start()
    yield made
    made.stop()
