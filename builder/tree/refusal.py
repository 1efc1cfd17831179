"""The one way in which the parts of the merge say no."""

from __future__ import annotations


class Refusal(Exception):
    """Why an entry cannot be applied faithfully; `reason` is half a sentence without layer and entry.

    Whoever knows those two makes a LayerRefused of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
