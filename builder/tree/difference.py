"""Where two contents differ, however each is cut into stretches with holes between them."""

from __future__ import annotations

from builder.tree.found import Stretches

_ENDLESS = 1 << 63


class Comparing:
    """Two contents of one size on their way; what is in no stretch is zeros.

    `filled` counts the blocks of `block` bytes that are a hole in the other one only.
    """

    def __init__(self, one: Stretches, other: Stretches, block: int = 4096) -> None:
        self._left, self._right, self._block = _Cursor(one), _Cursor(other), block
        self.filled = 0

    def first_difference(self) -> tuple[int, int, int] | None:
        """Go through both up to where they first differ; tell where that is, and the two bytes, or None."""
        left, right = self._left, self._right
        while left.rest or right.rest:
            start = min(cursor.start for cursor in (left, right) if cursor.rest)
            length = min(left.length_at(start), right.length_at(start))
            a, b = left.take(start, length), right.take(start, length)
            if a and not b:
                self.filled += max(0, (start + length) // self._block - -(-start // self._block))
            if a != b:
                a, b = a or bytes(length), b or bytes(length)
                for index in range(length if a != b else 0):
                    if a[index] != b[index]:
                        return start + index, a[index], b[index]
        return None


class _Cursor:
    """Goes through stretches: `rest` bytes are left of one, and they begin at `start` of the file."""

    def __init__(self, stretches: Stretches) -> None:
        self._stretches = stretches
        self._data, self.start, self.rest = b"", 0, 0
        self._next()

    def length_at(self, start: int) -> int:
        """Tell how far it goes on as at `start`: with data, or with a hole."""
        if not self.rest:
            return _ENDLESS
        return self.start - start if start < self.start else self.rest

    def take(self, start: int, length: int) -> bytes:
        """Take what is at `start`; nothing for a hole."""
        if not self.rest or start < self.start:
            return b""
        at = len(self._data) - self.rest
        taken = self._data[at : at + length]
        self.start, self.rest = self.start + length, self.rest - length
        if not self.rest:
            self._next()
        return taken

    def _next(self) -> None:
        for start, data in self._stretches:
            if data:
                self._data, self.start, self.rest = data, start, len(data)
                return
