"""Run the jobs of a batch on a Dask cluster. Imports Dask only when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.batch.bases import bases
from builder.batch.images import Job
from builder.batch.report import Outcome
from builder.batch.run import run_on, working_directory
from builder.batch.terms import Terms
from builder.errors import MissingRequirement
from builder.events import Event
from builder.output.failures import failures_named


def run_on_cluster(
    jobs: Sequence[Job],
    scheduler: str,
    terms: Terms,
    *,
    note: Callable[[str], None] = lambda _text: None,
    limit: int | None = None,
    insecure: bool = False,
) -> list[Outcome]:
    """Build every job on the workers of a cluster, as `run_batch` does on one machine.

    `scheduler` is its scheduler's address, `tcp://HOST:PORT` or `tls://HOST:PORT`, or the name of its scheduler file;
    `insecure` allows the first of other machines, too. Workers have to see the directory of the outputs and the current
    one, under the same names. At most `limit` builds run at a time. `note` is told what the user should know of the
    cluster, on another thread.
    Raises UsageError about `scheduler`, MissingRequirement without Dask, ClusterRefused where a worker has another
    version or does not see the outputs, and ClusterUnreachable, which may also come when much has been built.
    """
    try:
        from builder.batch.schedulers.cluster import scheduler_address
        from builder.batch.schedulers.dask import Dask
    except ImportError as error:
        raise MissingRequirement(f"{error}: builds on a cluster need pip install 'rootfs-builder[dask]'") from error
    address = scheduler_address(scheduler, insecure=insecure)
    if not jobs:
        return []
    directory = working_directory()
    outputs = Path(os.path.commonpath([os.path.join(directory, job.output.parent) for job in jobs]))
    with failures_named():
        outputs.mkdir(parents=True, exist_ok=True)

    submitted: list[Job] = []

    def hear(number: int, event: Event) -> None:
        terms.heard(submitted[number], event)

    with Dask(address, outputs, hear, note=note, limit=limit) as cluster:
        # On one machine, what builds share is there anyhow.
        if cluster.machines > 1:
            cluster.keep_together(bases(jobs))
        return run_on(cluster, jobs, directory, terms, submitted.append)
