"""What becomes of a build that fails: whether to try again is told apart here, where the reason is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry
from support.remote import IMAGE

from builder.batch.images import Job
from builder.batch.worker import run
from builder.image.platform import Platform
from builder.options import BuildOptions
from builder.sources.access import Access


@pytest.mark.parametrize(
    ("what", "answer", "passing"),
    [
        ("manifests", Answer(503, {}, b""), True),
        ("blobs", Answer(502, {}, b""), True),
        # Who asks so much patience will not be done in a moment.
        ("manifests", Answer(503, {"Retry-After": "3600"}, b""), False),
        ("manifests", Answer(404, {}, b""), False),
        ("manifests", Answer(403, {}, b""), False),
    ],
)
def test_a_network_that_did_not_do_in_time_may_do_another_time(
    registry: Registry, proxy: Proxy, tmp_path: Path, what: str, answer: Answer, passing: bool
) -> None:
    registry.push("worker/image", IMAGE)
    proxy.faults.append(Fault(f"(GET|HEAD) .*{what}", answer=answer))
    options = BuildOptions(platform=Platform.parse("linux/s390x"), access=Access(keep=False))
    job = Job(1, f"docker://{proxy.host}/worker/image", tmp_path / "out" / "disk.ext4", options)
    outcome = run(job)
    assert (outcome.status, outcome.passing) == ("failed", passing), outcome.error


def test_a_registry_that_is_not_up_may_come_up(tmp_path: Path, home: Path) -> None:
    outcome = run(Job(1, "docker://127.0.0.1:1/worker/image", tmp_path / "disk.ext4", BuildOptions()))
    assert (outcome.status, outcome.passing) == ("failed", True), outcome.error
