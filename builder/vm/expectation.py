"""A text that ends a boot well once the guest's process has printed it."""

from __future__ import annotations


class Expectation:
    """Watches a stream for `text`, in whatever pieces it comes; `met` once it was there. None is never met."""

    def __init__(self, text: str | None) -> None:
        self.met = False
        self._text = None if text is None else text.encode("utf-8", "surrogateescape")
        self._seen = b""

    def see(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        if self._text is not None and not self.met:
            self._seen += data
            self.met = self._text in self._seen
            self._seen = self._seen[max(0, len(self._seen) - len(self._text)) :]

    def is_in(self, data: bytes) -> bool:
        """Tell whether a piece has it by itself."""
        return self._text is not None and self._text in data
