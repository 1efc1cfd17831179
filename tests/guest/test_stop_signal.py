"""Signals as images name them."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.guest.stop_signal import parse_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15), ("term", 15), ("15", 15), (" SIGQUIT ", 3), ("SIGWINCH", 28), ("SIGKILL", 9), ("9", 9),
        ("SIGRTMIN", 34), ("SIGRTMIN+3", 37), ("RTMIN+30", 64), ("SIGRTMAX", 64), ("rtmax-1", 63), ("37", 37),
    ],
)  # fmt: skip
def test_a_signal_has_the_kernels_number(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "SIGNOTHING", "RTMIN+31", "RTMAX+1", "RTMIN-1", "-9", "15.0"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a signal; write it as SIGTERM, 15 or SIGRTMIN"):
        parse_signal(text)
