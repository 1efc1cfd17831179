"""What the transports may need to know besides the reference: where to keep things, and how to reach registries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from builder.events import Listener, ignore
from builder.registry import RegistryAccess


@dataclass(frozen=True, slots=True)
class Bounds:
    """To how many bytes a compressed file around an image may unpack, and beyond `floor`, for each byte of its own."""

    size: int = 256 << 30
    ratio: int = 2000
    floor: int = 8 << 30


@dataclass(frozen=True, slots=True)
class Access:
    """How an image may be reached and what may be kept of it.

    `scratch` is an existing directory for temporary files, by default the system's; `store` the root of the image
    store, a path or a PyFilesystem URL, by default the user's own; `keep` says whether what comes over a network is
    kept there, and `record` whether a whole image is then listed there under its name; `listen` is told what the
    user should know; `bounds` are for archives that are compressed as a whole.
    """

    scratch: Path | None = None
    store: str | None = None
    keep: bool = True
    record: bool = True
    registry: RegistryAccess = field(default_factory=RegistryAccess)
    listen: Listener = ignore
    bounds: Bounds = field(default_factory=Bounds)
