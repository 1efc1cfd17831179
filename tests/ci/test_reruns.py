"""Who tries tests twice holds none of them up."""

from __future__ import annotations

import pytest


def test_no_process_is_asked_how_often_a_test_has_failed(pytestconfig: pytest.Config) -> None:
    # 40 ms for each (tests/conftest.py).
    assert not hasattr(getattr(pytestconfig, "failures_db", None), "sock")
