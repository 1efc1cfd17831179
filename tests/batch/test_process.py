"""The process behind one image: whatever ends it, its image has an outcome."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.batch import process
from builder.batch.images import Job
from builder.batch.report import CANCELLED
from builder.options import BuildOptions

JOB = Job(1, "oci:image", Path("disk.ext4"), BuildOptions())


def test_a_worker_that_is_stopped_before_it_reads_its_job_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    converse = process._converse

    def stop_first(running: subprocess.Popen[bytes], job: Job) -> tuple[bytes, int]:
        process.stop_running()
        running.wait()
        return converse(running, job)

    monkeypatch.setattr(process, "_converse", stop_first)
    assert process.build_in_process(JOB).status == CANCELLED
