"""How talking to a registry fails, beyond what every source has: what may pass, and what wants a log-in.

Imports no HTTP client: whoever has another process talk to registries hears of their failures all the same.
"""

from __future__ import annotations

from builder.errors import FailedAt, MissingRequirement, SourceUnreadable


class AccessDenied(FailedAt, MissingRequirement):
    """The registry wants other credentials than it was given, or some at all (status 4: a permission is missing)."""


class NotThere(Exception):
    """The registry answered 404; what that means depends on what was asked for. Never leaves a source."""


class Refused(SourceUnreadable):
    """The registry answered `status`, a failure of which no protocol for what was asked speaks; `how` tells it."""

    def __init__(self, where: str, how: str, status: int) -> None:
        super().__init__(where, f"{how}, which registries should not; check the address")
        self.how = how
        self.status = status


class Passing(SourceUnreadable):
    """A failure that may pass when one waits: `wait` seconds if the registry says how long.

    `dialling` says that there was no connection at all: that a name is unknown does not pass. `advice` is for who has
    waited long enough.
    """

    def __init__(
        self,
        where: str,
        reason: str,
        wait: float | None = None,
        dialling: bool = False,
        advice: str = "try again later",
    ) -> None:
        super().__init__(where, reason)
        self.wait = wait
        self.dialling = dialling
        self.advice = advice


class GaveUp(SourceUnreadable):
    """A failure that did not pass as long as it was waited for; who comes back another time may find that it has."""


def busy(where: str, how: str, status: int, wait: float | None) -> Passing:
    """Make the failure of an answer that says to come back later: `status`, told by `how`."""
    # Most take more from who is known.
    advice = "log in, or try again later" if status == 429 else "try again later"
    return Passing(where, how, wait, advice=advice)


class NoTls(SourceUnreadable):
    """What answers at the port does not speak TLS: it may be a registry over plain HTTP."""


class Stopped(SourceUnreadable):
    """Nobody wants the answer any more."""

    def __init__(self, where: str) -> None:
        super().__init__(where, "the transfer was stopped")
