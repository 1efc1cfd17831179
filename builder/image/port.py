"""Ports that an image exposes (OCI image-spec, config.md, "ExposedPorts")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from builder.errors import MalformedDocument
from builder.words import quoted

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class ExposedPort:
    """The ports `start` to `end`, both included, of `tcp`, `udp` or `sctp`."""

    start: int
    end: int
    protocol: str = "tcp"

    @classmethod
    def parse(cls, text: str, document: str, path: str) -> Self:
        """Read `80`, `80/tcp` or `8000-8010/udp` at `path` of `document`; raises MalformedDocument."""
        match = _PORTS.fullmatch(text)
        if match is None:
            reason = f"{quoted(text, 200)} is no port; it must be like 80, 80/tcp or 8000-8010/udp (or sctp)"
            raise MalformedDocument(document, path, reason)
        start, end = int(match[1]), int(match[2] or match[1])
        if end > 65535:
            raise MalformedDocument(document, path, f"{quoted(text, 200)} is no port: the highest is 65535")
        if start > end:
            raise MalformedDocument(document, path, f"{quoted(text, 200)} is a range that ends before it starts")
        return cls(start, end, (match[3] or "tcp").lower())

    def __str__(self) -> str:
        ports = str(self.start) if self.start == self.end else f"{self.start}-{self.end}"
        return f"{ports}/{self.protocol}"
