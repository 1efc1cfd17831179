"""In which order a build publishes what it made: a machine may stop, and a process be killed, at any step."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.recording import Calls, Died
from support.tars import file, tar

from builder import BuildOptions, build
from builder.vm.machine import MachineOptions
from builder.vm.options import VmConfig, VmOptions


def image(place: Path, content: bytes) -> str:
    layout(place, Spec((tar(file("a", content)),)))
    return f"oci:{place}"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def options(outputs: Path, kernel: str = "vmlinux") -> BuildOptions:
    machine = VmOptions((VmConfig("firecracker", outputs / "disk.vm"),), MachineOptions(kernel=outputs / kernel))
    rule, record, statement = outputs / "disk.d", outputs / "disk.json", outputs / "disk.intoto"
    return BuildOptions(depfile=rule, metadata_file=record, provenance=statement, sbom=outputs / "disk.cdx", vm=machine)


STEPS = [
    *("sync disk.d", "rename disk.d", "sync out"),
    *("sync disk.vm", "rename disk.vm", "sync out"),
    *("sync disk.intoto", "rename disk.intoto", "sync out"),
    *("sync disk.cdx", "rename disk.cdx", "sync out"),
    *("sync disk.ext4", "rename disk.ext4", "sync out"),
    *("sync disk.json", "rename disk.json", "sync out"),
]


def test_each_output_is_synced_then_named_then_its_name_synced(
    tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = image(tmp_path / "image", b"content")
    calls = Calls(monkeypatch)
    build(reference, outputs / "disk.ext4", options(outputs))
    # What is before that are syncs ahead of time: they take long, and come before anything that shows.
    assert calls.said()[-len(STEPS) :] == STEPS
    assert [each for each in calls.said()[: -len(STEPS)] if not each.startswith("sync disk.")] == []


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1), ids=lambda step: f"{step}-{STEPS[step - 1]}")
def test_whatever_step_is_the_last_nothing_newer_speaks_for_something_older(
    tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    disk, rule, record = outputs / "disk.ext4", outputs / "disk.d", outputs / "disk.json"
    machine, statement, packages = outputs / "disk.vm", outputs / "disk.intoto", outputs / "disk.cdx"
    build(image(tmp_path / "old", b"old"), disk, options(outputs, "older"))
    before = {path: path.read_bytes() for path in (disk, rule, machine, statement, packages, record)}
    reference = image(tmp_path / "new", b"new")
    with monkeypatch.context() as patch:
        ahead = len(_calls_of(reference, tmp_path, patch)) - len(STEPS)
    with monkeypatch.context() as patch:
        Calls(patch, last=ahead + step)
        with pytest.raises(Died):
            build(reference, disk, options(outputs))
    new = {path: path.read_bytes() != before[path] for path in before}
    assert new[rule] >= new[machine] >= new[statement] >= new[packages] >= new[disk] >= new[record]
    assert sorted(path.name for path in outputs.iterdir()) == [
        *("disk.cdx", "disk.d", "disk.ext4", "disk.intoto", "disk.json", "disk.vm")
    ]
    # The next build mends it.
    build(reference, disk, options(outputs))
    assert json.loads(record.read_bytes())["disk"]["sha256"] == sha256(disk.read_bytes()).hexdigest()
    assert json.loads(statement.read_bytes())["subject"][0]["digest"]["sha256"] == sha256(disk.read_bytes()).hexdigest()
    assert str(tmp_path / "new") in rule.read_text()


def _calls_of(reference: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """What a build of the same that is not disturbed asks for."""
    place = tmp_path / "undisturbed" / "out"
    place.mkdir(parents=True)
    calls = Calls(patch)
    build(reference, place / "disk.ext4", options(place))
    return calls.said()
