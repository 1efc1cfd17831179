"""Which images of a batch are worth building on one machine: those that share their largest layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from builder.actions.opening import open_image
from builder.batch.images import Job
from builder.errors import BuilderError
from builder.events import ignore
from builder.image.image import Layer
from builder.shortage import LACKING
from builder.sources.reference import parse_reference
from builder.sources.resolve import find_image
from builder.sources.shared import Shared

# How many registries are asked at a time.
_THREADS = 8


def bases(jobs: Sequence[Job]) -> dict[int, str]:
    """Name, by a job's line, the largest layer that its image has in common with another image of the batch.

    Found from manifests and configs alone. What cannot be read from here, or only by unpacking it, has none: whoever
    builds it sees what is wrong with it, if anything is.
    """
    shared = Shared()
    with closing(shared), ThreadPoolExecutor(_THREADS) as executor:
        found = dict(zip([job.line for job in jobs], executor.map(lambda job: _layers(job, shared), jobs), strict=True))
    users = Counter(
        layer.diff_id for layers in found.values() for layer in {each.diff_id: each for each in layers}.values()
    )
    largest: dict[int, str] = {}
    for line, layers in found.items():
        common = [layer for layer in layers if users[layer.diff_id] > 1]
        if common:
            largest[line] = str(max(common, key=lambda layer: layer.descriptor.size).diff_id)
    return largest


def _layers(job: Job, shared: Shared) -> tuple[Layer, ...]:
    try:
        reference = parse_reference(job.reference)
        if reference.is_url or Path(reference.place).is_file():
            return ()
        with closing(open_image(job.reference, job.options, None, ignore, shared)) as source:
            return find_image(source, job.reference, job.options.platform).layers
    except (BuilderError, *LACKING):
        return ()
