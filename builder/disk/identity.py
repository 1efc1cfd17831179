"""Identifiers that follow from the content: the same input and options give the same bytes."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID


def derived_uuid(seed: bytes, purpose: str) -> UUID:
    """Derive a UUID, version 8 as RFC 9562 section 5.8 says, from `seed` for one `purpose`, such as "erofs uuid"."""
    bits = int.from_bytes(sha256(seed + b"\0" + purpose.encode()).digest()[:16], "big")
    bits &= ~(0xF << 76 | 0b11 << 62)
    return UUID(int=bits | 8 << 76 | 0b10 << 62)
