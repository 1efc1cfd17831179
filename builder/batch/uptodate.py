"""Whether a disk of an earlier run is what this run would build."""

from __future__ import annotations

import json
from contextlib import closing
from importlib.metadata import version

from builder.batch.images import Job, metadata_path
from builder.output.metadata import describe_image
from builder.sources import open_source
from builder.sources.resolve import resolve


def is_up_to_date(job: Job) -> bool:
    """Compare what a disk's metadata records with the image as it is now, the options and this program's version.

    A disk without metadata, or of another size than recorded, is not up to date. Raises BuilderError when the image
    cannot be resolved.
    """
    try:
        recorded = json.loads(metadata_path(job.output).read_bytes())
        size = job.output.stat().st_size
    except (OSError, ValueError):
        return False
    if not isinstance(recorded, dict) or not isinstance(recorded.get("disk"), dict):
        return False
    with closing(open_source(job.reference, job.options.access)) as source:
        image = describe_image(resolve(source, job.reference, job.options.platform))
    now = {"builder": version("rootfs-builder"), "image": image, "options": job.options.describe()}
    # Through JSON once more: tuples and lists are the same there.
    return bool({**recorded, **json.loads(json.dumps(now))} == recorded and recorded["disk"].get("size") == size)
