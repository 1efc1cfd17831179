"""What the page says of a batch, beyond each outcome: which layers images share, and how long it all took."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.batch.report import Outcome
from builder.tree.contents import Contents


@dataclass(frozen=True, slots=True)
class Row:
    """An outcome as the page shows it: `number` tells it apart, `shared` counts its layers that others have, too."""

    number: int
    outcome: Outcome
    contents: Contents | None
    shared: int

    @property
    def name(self) -> str:
        """The name of the disk without its directories."""
        return os.path.basename(self.outcome.output) or self.outcome.output

    @property
    def anchor(self) -> str:
        """Where the page says more of it."""
        return f"d{self.number}"


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole batch: rows in the order of the list; in how many images each layer is; sums in bytes, and in seconds."""

    rows: Sequence[Row]
    images_with: Mapping[str, int]
    layers: int
    layer_bytes: int
    distinct_bytes: int

    @property
    def size(self) -> int:
        """The bytes of all disks."""
        return sum(row.outcome.size or 0 for row in self.rows)

    @property
    def wasted(self) -> int | None:
        """The bytes that upper layers took away, of all images of which that is known."""
        known = [row.contents.wasted for row in self.rows if row.contents]
        return sum(known) if known else None

    @property
    def ended(self) -> float | None:
        """When the last job ended, in seconds since the batch began."""
        return max((row.outcome.ended for row in self.rows if row.outcome.ended is not None), default=None)


def gather(outcomes: Sequence[Outcome], contents: Mapping[int, Contents]) -> Facts:
    """Put together what is known of a batch; `contents` are by the line of the list."""
    sizes = {part.digest: part.size for outcome in outcomes for part in outcome.layers}
    images_with = Counter(digest for outcome in outcomes for digest in {part.digest for part in outcome.layers})
    rows = [
        Row(
            number,
            outcome,
            contents.get(outcome.line) if outcome.well else None,
            sum(images_with[digest] > 1 for digest in {part.digest for part in outcome.layers}),
        )
        for number, outcome in enumerate(outcomes, start=1)
    ]
    every = [part.size for outcome in outcomes for part in outcome.layers]
    return Facts(rows, images_with, len(every), sum(every), sum(sizes.values()))
