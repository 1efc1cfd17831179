"""What is found of a disk that is verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from builder.tree.compare import Difference
from builder.words import legible

# More are counted and not kept: a disk of something else has one for each of its names.
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What `by` (a tool, the hash tree, our reader, or the recorded digest) finds wrong with a disk by itself."""

    by: str
    finding: str

    def __str__(self) -> str:
        return legible(f"{self.by}: {self.finding}")


@dataclass(slots=True)
class Verification:
    """What was found of a disk: `faults` in itself, `differences` from `reference`, of which `more` are not kept.

    `config` is the digest of the image's config, `names` how many were compared. `recorded` and `actual` are sha256 of
    the disk in hex, where one is on record; `has_verity` says that its hash tree was checked. `remarks` say what was
    not compared, and why.
    """

    disk: Path
    format: str
    reference: str | None = None
    config: str | None = None
    names: int = 0
    faults: list[Fault] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    more: int = 0
    recorded: str | None = None
    actual: str | None = None
    has_verity: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the disk is what it should be."""
        return not self.faults and not self.differences

    def keep(self, difference: Difference) -> None:
        """Keep a difference, or count it where there are too many."""
        if len(self.differences) < _MOST:
            self.differences.append(difference)
        else:
            self.more += 1
