"""How long to go on trying: backoff that doubles, or what the registry asks for, within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event

from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from builder.errors import SourceUnreadable
from builder.events import Listener, Notice
from builder.registry.failures import GaveUp, Passing, Stopped

ATTEMPTS = 6
# In seconds, before the second attempt; then it doubles, up to the longest.
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
# Who is asked to wait longer than this, in seconds, had better come back another time.
LONGEST_RETRY_AFTER = 180.0
# Progress of so many bytes makes up for the failures before it; of less, a transfer could go on for ever.
ENOUGH_PROGRESS = 64 * 1024


class Patience:
    """The failures of one request, or of one blob's transfer, so far. `stop` ends any wait at once."""

    def __init__(self, stop: Event, listen: Listener) -> None:
        self._stop = stop
        self._listen = listen
        self._failures = 0

    def progress(self, count: int) -> None:
        """Be told that `count` bytes came after the last failure."""
        if count >= ENOUGH_PROGRESS:
            self._failures = 0

    def wait(self, error: Passing) -> None:
        """Wait until the next attempt; raises `error` when there shall be none, and Stopped."""
        self._failures += 1
        if self._stop.is_set():
            raise Stopped(error.where) from error
        if self._failures >= ATTEMPTS:
            reason = f"{error.reason}; gave up after {ATTEMPTS} attempts: {error.advice}"
            raise GaveUp(error.where, reason) from error
        seconds = min(FIRST_WAIT * 2 ** (self._failures - 1), LONGEST_WAIT)
        if error.wait is not None:
            if error.wait > LONGEST_RETRY_AFTER:
                reason = f"{error.reason}; it asks to come back in {error.wait:.0f} s: {error.advice}"
                raise SourceUnreadable(error.where, reason) from error
            seconds = max(error.wait, FIRST_WAIT)
        self._listen(Notice(f"{error.where}: {error.reason}: waiting {seconds:.0f} s before trying again"))
        if self._stop.wait(seconds):
            raise Stopped(error.where) from error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110, 10.2.3): the seconds from now; None where it says nothing."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, Retry().parse_retry_after(value))
    except (InvalidHeader, ValueError, OverflowError):
        return None
