"""What a batch finds out before it starts a process: which disks are up to date, by a build's rules, and why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from support.images import Spec, layout
from support.registry import Registry
from support.tars import file, tar

from builder import BuildOptions, GuestOptions, build
from builder.actions.up_to_date import Lookout, Standing
from builder.batch.images import Job
from builder.batch.report import FAILED, UP_TO_DATE, without_disk
from builder.batch.verdict import Verdict, judge, sweep
from builder.batch.worker import run
from builder.files.files import Files
from builder.sources import oci
from builder.sources.access import Access
from builder.version import VERSION

LAYER = tar(file("run", b"content", mode=0o755))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose disk was built a moment ago."""
    layout(tmp_path / "image", Spec((LAYER,), config={"Cmd": ["/run"]}))
    made = Job(
        1,
        f"oci:{tmp_path}/image",
        tmp_path / "a.ext4",
        BuildOptions(format="ext4", metadata_file=tmp_path / "a.ext4.json"),
    )
    build(made.reference, made.output, made.options)
    return made


def only(job: Job, *, verify: bool = False) -> Verdict:
    (verdict,) = judge([job], verify=verify)
    return verdict


def reason(job: Job, *, verify: bool = False) -> str | None:
    return only(job, verify=verify).reason


def traces(place: Path) -> dict[str, tuple[int, int, int]]:
    """What changes with whatever is done to a file but reading it."""
    found = {path.name: path.stat() for path in place.iterdir()}
    return {name: (each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for name, each in found.items()}


def test_what_is_told_of_a_job_has_no_password(job: Job) -> None:
    """Reports of a batch are handed on, as pages are."""
    secret = replace(job, reference=job.reference.replace("oci:", "oci:osfs://me:secret@"))
    built, known = run(secret), only(secret).outcome
    missed = run(replace(secret, reference=f"{secret.reference}/nowhere"))
    assert known is not None
    assert (known.status, built.status, missed.status) == (UP_TO_DATE, UP_TO_DATE, FAILED)
    for each in (known, built, missed, without_disk(secret, FAILED)):
        assert "oci:osfs://me@" in each.reference
        assert "secret" not in str(each)


def test_a_disk_that_is_up_to_date_is_known_without_a_process_and_left_alone(job: Job) -> None:
    before = traces(job.output.parent)
    outcome = only(job).outcome
    assert outcome is not None
    assert (outcome.status, outcome.size) == (UP_TO_DATE, job.output.stat().st_size)
    assert traces(job.output.parent) == before


def move(image: Path) -> None:
    """Let the tag of a layout stand for another image."""
    shutil.rmtree(image)
    layout(image, Spec((LAYER,), config={"Cmd": ["/another"]}))


def test_a_name_that_the_system_refuses_to_look_up_is_its_own_job_s_matter(job: Job) -> None:
    """As this one, or one in a directory that this user may not search."""
    long = "x" * 300
    jobs = [replace(job, line=2, reference=f"oci:{long}"), replace(job, line=3, output=Path(long, long)), job]
    sweep(jobs)
    assert {each.job.line: each.fails for each in judge(jobs)} == {1: False, 2: True, 3: True}


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no disk": (lambda place: (place / "a.ext4").unlink(), "no disk"),
    "another image": (lambda place: move(place / "image"), "image changed"),
    "a shorter disk": (lambda place: os.truncate(place / "a.ext4", 4096), "disk was changed"),
    "a later disk": (lambda place: os.utime(place / "a.ext4", (1, 1)), "disk was changed"),
    "no metadata": (lambda place: (place / "a.ext4.json").unlink(), "metadata are missing"),
    "other metadata": (
        lambda place: os.truncate(place / "a.ext4.json", 2),
        "metadata are missing",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_said(job: Job, change: str) -> None:
    act, said = CHANGES[change]
    # Metadata speak alone where a file system keeps no attributes.
    if change not in ("no metadata", "other metadata"):
        for name in os.listxattr(job.output):
            os.removexattr(job.output, name)
    elif not os.listxattr(job.output):
        said = "no record of what the disk was made from"
    act(job.output.parent)
    assert reason(job) == said


OPTIONS: dict[str, Callable[[BuildOptions], BuildOptions]] = {
    "option size changed": lambda options: options.but({"size": 1 << 24}),
    "option source-date-epoch changed": lambda options: options.but({"source-date-epoch": 5}),
    "option cmd changed": lambda options: replace(options, guest=GuestOptions(cmd=("x",))),
    "asked for by --force": lambda options: replace(options, force=True),
}


@pytest.mark.parametrize("said", OPTIONS)
def test_which_option_is_another_is_said(job: Job, said: str) -> None:
    assert reason(replace(job, options=OPTIONS[said](job.options))) == said


def test_what_another_version_or_tool_or_init_made_is_built_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("builder.output.recipe.VERSION", "9.9")
        assert reason(job) == f"rootfs-builder was {VERSION}"
    with monkeypatch.context() as patched:
        patched.setattr("builder.disk.ext4.pack.tool_version", lambda _name: "1.99.0")
        assert reason(job) == "mke2fs changed"
    with monkeypatch.context() as patched:
        patched.setattr("builder.guest.bootable.init_program", lambda _architecture: b"another")
        assert reason(job) == "init changed"
    assert reason(job) is None


def test_bytes_that_are_trusted_are_read_by_verify(job: Job) -> None:
    status = job.output.stat()
    with job.output.open("r+b") as disk:
        disk.seek(-1, os.SEEK_END)
        disk.write(b"\x01")
    os.utime(job.output, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert reason(job) is None
    found = only(job, verify=True)
    assert (found.reason, found.job.options.force) == ("disk is not what its digest says", True)


def test_a_layer_that_is_not_what_its_digest_says_is_found_by_verify_and_fails(job: Job) -> None:
    blobs = sorted((job.output.parent / "image/blobs/sha256").iterdir(), key=lambda path: path.read_bytes()[:1])
    layer = next(path for path in blobs if path.read_bytes().startswith(b"\x1f\x8b"))
    layer.write_bytes(layer.read_bytes()[:-1] + b"?")
    assert reason(job) is None
    outcome = only(job, verify=True).outcome
    assert outcome is not None
    assert (outcome.status, outcome.exit_status) == ("failed", 3)
    assert "layer 1 of 1" in str(outcome.error)


def test_an_image_that_is_not_there_is_left_to_the_build_to_explain(job: Job) -> None:
    shutil.rmtree(job.output.parent / "image")
    verdict = only(job)
    assert verdict.fails
    assert "there is no such directory" in str(verdict.error)


def test_an_index_is_parsed_once_for_all_its_images_and_an_archive_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path / "images", *(Spec((LAYER,), tag=f"t{n}", config={"Cmd": ["/run"]}) for n in range(3)))
    shutil.make_archive(str(tmp_path / "saved"), "gztar", tmp_path / "images")
    jobs = [
        Job(
            number,
            f"{place}:t{number % 3}",
            tmp_path / f"{number}.ext4",
            BuildOptions(metadata_file=tmp_path / f"{number}.json"),
        )
        for number, place in enumerate(
            [f"oci:{tmp_path}/images"] * 3 + [f"oci-archive:{tmp_path}/saved.tar.gz"] * 3, start=3
        )
    ]
    for job in jobs:
        build(job.reference, job.output, job.options)
    parsed: list[str] = []
    opened: list[str] = []
    parse = oci.OciLayout._parse_index
    archive = oci.OciLayout.__init__

    def counted(self: oci.OciLayout) -> object:
        parsed.append(self._files.place)
        return parse(self)

    def recorded(self: oci.OciLayout, files: Files, *rest: object) -> None:
        opened.append(files.place)
        archive(self, files, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(oci.OciLayout, "_parse_index", counted)
    monkeypatch.setattr(oci.OciLayout, "__init__", recorded)
    assert [verdict.outcome is not None for verdict in judge(jobs)] == [True] * 6
    assert sorted(parsed) == sorted([f"{tmp_path}/images", f"{tmp_path}/saved.tar.gz"])


def test_what_a_killed_build_left_goes_though_its_disk_is_up_to_date(job: Job) -> None:
    left = job.output.parent / f".a.ext4.{'0' * 16}.rootfs-builder"
    left.mkdir()
    sweep([job])
    assert not left.exists()
    assert reason(job) is None


def test_registries_are_asked_side_by_side_and_a_tag_that_moved_is_noticed(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(store=str(tmp_path / "store"))
    jobs = []
    for number, name in enumerate(("first", "second")):
        registry.push(name, Spec((LAYER,), config={"Cmd": ["/run"]}))
        options = BuildOptions(metadata_file=tmp_path / f"{name}.json", access=access)
        jobs.append(Job(number, f"docker://{registry.host}/{name}", tmp_path / f"{name}.ext4", options))
        build(jobs[-1].reference, jobs[-1].output, options)
    registry.push("second", Spec((LAYER,), config={"Cmd": ["/another"]}))
    look, both = Lookout.look, Barrier(2, timeout=60)

    def together(self: Lookout, reference: str, output: Path, options: BuildOptions) -> Standing:
        both.wait()
        return look(self, reference, output, options)

    monkeypatch.setattr(Lookout, "look", together)
    reasons = {verdict.job.output.name: verdict.reason for verdict in judge(jobs)}
    assert reasons == {"first.ext4": None, "second.ext4": "image changed"}


def test_whatever_one_image_does_to_who_looks_at_it_the_others_do_not_notice(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Lookout.look

    def fails(self: Lookout, reference: str, output: Path, options: BuildOptions) -> Standing:
        if output.name == "odd":
            raise OSError(5, "Input/output error")
        return look(self, reference, output, options)

    monkeypatch.setattr(Lookout, "look", fails)
    odd = replace(job, line=2, output=job.output.with_name("odd"))
    reasons = {verdict.job.line: verdict.reason for verdict in judge([odd, job])}
    assert reasons == {1: None, 2: "could not be looked at"}
