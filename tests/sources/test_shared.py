"""What is made once for many who ask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.sources.shared import Once


@pytest.fixture(autouse=True)
def _busy() -> Iterator[None]:
    """Threads that take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_all_is_told_while_others_still_ask() -> None:
    once: Once[int] = Once()

    def ask() -> None:
        for number in range(5000):
            once.get(number, lambda: 0)

    with ThreadPoolExecutor(1) as executor:
        asking, counts = executor.submit(ask), [0]
        while not asking.done():
            counts.append(len(once.all()))
    assert counts == sorted(counts)
    assert len(once.all()) == 5000
