"""How much is said and in which form: options that mean the same wherever they stand, and together."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.command import run
from support.images import Spec, layout
from support.tars import file, tar

from builder.cli import main


@pytest.fixture
def image(tmp_path: Path) -> str:
    layer = tar(*(file(f"{n}", b"content" * 1000, mode=0o755) for n in range(200)))
    layout(tmp_path / "image", Spec((layer,), config={"Cmd": ["/0"]}))
    return f"oci:{tmp_path}/image"


def everywhere(speech: list[str], command: list[str], rest: list[str]) -> list[list[str]]:
    """Command lines that say `speech` before, within and behind the words of a command."""
    return [[*speech, *command, *rest], [*command, *speech, *rest], [*command, *rest, *speech]]


def is_json(text: str) -> bool:
    return all(isinstance(json.loads(line), dict) for line in text.splitlines())


@pytest.mark.heavy
@pytest.mark.parametrize("place", range(3), ids=["before", "within", "behind"])
def test_what_is_said_of_messages_holds_wherever_it_is_said(tmp_path: Path, image: str, place: int) -> None:
    def build(*speech: str) -> subprocess.CompletedProcess[str]:
        return run(*everywhere([*speech], ["build"], [image, "-o", f"{tmp_path}/d.ext4", "--force"])[place])

    assert build("-q").stderr == ""
    plain = build().stderr.splitlines()
    assert [line.split(" (")[0].split(", ")[0] for line in plain[:2]] == ["reading layer 1 of 1", "packing ext4"]
    silent = build("--progress", "none").stderr.splitlines()
    assert [line.split(":")[0] for line in silent] == [f"{tmp_path}/d.ext4"]
    lines = [json.loads(line) for line in build("--log-format", "json").stderr.splitlines()]
    assert [line.get("event") for line in lines[:2]] == ["took", "stage"]
    assert lines[-1]["level"] == "info"
    mixed = build("--log-format", "text", "--progress", "json").stderr.splitlines()
    assert is_json(mixed[0])
    assert mixed[-1].startswith(f"{tmp_path}/d.ext4: ")


def test_progress_as_json_has_nothing_else_between(tmp_path: Path, image: str) -> None:
    assert is_json(run("build", image, "-o", tmp_path / "d.ext4", "--progress", "json").stderr)
    failed = run("build", "oci:nowhere", "-o", tmp_path / "d.ext4", "--progress", "json")
    assert (failed.returncode, json.loads(failed.stderr)["level"]) == (1, "error")


def test_json_progress_comes_a_few_times_a_second_not_once_a_file(tmp_path: Path, image: str) -> None:
    done = run("build", image, "-o", tmp_path / "d.ext4", "--progress", "json")
    events = [json.loads(line).get("event") for line in done.stderr.splitlines()]
    assert "stage" in events
    assert events.count("progress") < 100


# What is not worth a line while it lasts.
STEPS = ["opening the image", "merging layer 1 of 1", "syncing the disk", "publishing"]


def test_what_each_stage_took_is_said_with_v_and_to_programs(tmp_path: Path, image: str) -> None:
    words = ["build", image, "-o", str(tmp_path / "d.ext4"), "--force", "--init", "none"]
    *said, _ = run(*words, "-v", "--progress", "none").stderr.splitlines()
    lines = [json.loads(line) for line in run(*words, "--progress", "json").stderr.splitlines()]
    stages = [line for line in lines if line.get("event") == "stage"]
    took = [line for line in lines if line.get("event") == "took"]
    names = [line["name"] for line in took]
    assert sorted(name.partition(" (")[0] for name in names if name not in [each["name"] for each in stages]) == sorted(
        STEPS
    )
    assert [name for name in names if name.partition(" (")[0] not in STEPS] == [each["name"] for each in stages]
    line = re.compile(r"took +\d+\.\d\d s: (.+?)(?:, [\d.]+ \w+)?")
    assert [match and match[1] for match in map(line.fullmatch, said)] == names
    assert all(isinstance(each["seconds"], float) and each["image"] == f"{tmp_path}/d.ext4" for each in took)
    # What a stage was to go through is what it has gone through.
    assert (
        [each["bytes"] for each in took if each["bytes"]] == [each["total"] for each in stages if each["total"]] != []
    )


@pytest.mark.parametrize("words", [[], ["-q", "-v"]])
def test_what_stages_took_is_no_news_unless_asked_for(tmp_path: Path, image: str, words: list[str]) -> None:
    done = run(*words, "build", image, "-o", tmp_path / "d.ext4")
    assert (done.returncode, [line for line in done.stderr.splitlines() if line.startswith("took")]) == (0, [])


def test_a_stage_that_fails_has_not_ended(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("../x")),)))
    done = run("-v", "build", f"oci:{tmp_path}/image", "-o", tmp_path / "d.ext4", "--init", "none")
    said = [line.split(" (")[0] for line in done.stderr.splitlines()]
    assert said[0].endswith(" s: opening the image")
    assert said[1] == "reading layer 1 of 1"
    assert said[2].endswith(" s: reading layer 1 of 1")
    # It is at the merge that this layer is refused.
    assert [line.split(":")[1] for line in said[3:]] == [" error", " cause"]


def test_a_stage_that_a_signal_cuts_short_has_not_ended(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def cut(*_given: object) -> None:
        raise SystemExit(143)  # as a signal's handler does, amid a layer

    monkeypatch.setattr("builder.tree.read.read_layer", cut)
    with pytest.raises(SystemExit):
        main.run(["-v", "build", image, "-o", f"{tmp_path}/d.ext4", "--init", "none", "--no-cache"])
    said = [line.partition(" (")[0] for line in capfd.readouterr().err.splitlines()]
    assert said[0].endswith(" s: opening the image")
    assert said[1:] == ["reading layer 1 of 1"]


@pytest.mark.heavy
def test_of_a_batch_it_is_said_of_each_disk_what_its_stages_took(tmp_path: Path, image: str) -> None:
    (tmp_path / "list").write_text(f"{image} output=a.ext4 init=none\noci:nowhere output=b.ext4\n")
    said = run("batch", "-v", tmp_path / "list", "-o", tmp_path / "disks", "-j", 1).stderr.splitlines()
    took = [line.partition(" s: ")[2].partition(" (")[0] for line in said if line.startswith("took")]
    assert took[0] == f"{tmp_path}/disks/a.ext4: opening the image"
    assert {line.partition(": ")[0] for line in took[:-1]} == {f"{tmp_path}/disks/a.ext4"}
    assert took[-1] == "building 2 disks"


def test_the_cause_is_said_wherever_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "blobless").write_text("")
    for words in everywhere(["-v"], ["store", "list"], ["--store", f"{tmp_path}/blobless"]):
        said = run(*words).stderr.splitlines()
        assert [line.split(":")[1] for line in said] == [" error", " cause"]


def test_commands_below_a_command_heed_it_at_each_level(tmp_path: Path) -> None:
    for words in everywhere(["--log-format=json"], ["store", "remove"], ["name", "--store", str(tmp_path)]):
        assert json.loads(run(*words).stderr)["level"] == "error"
    assert json.loads(run("store", "--log-format=json", "remove", "name").stderr)["level"] == "error"


def test_the_last_of_several_equal_options_holds(tmp_path: Path, image: str) -> None:
    words = ["--progress", "json", "build", image, "-o", str(tmp_path / "d.ext4"), "--progress", "none"]
    assert len(run(*words, "--log-format", "text").stderr.splitlines()) == 1


@pytest.mark.heavy
@pytest.mark.parametrize("progress", ["auto", "plain", "json", "none"])
def test_a_batch_shows_progress_as_it_is_asked(tmp_path: Path, image: str, progress: str) -> None:
    (tmp_path / "list").write_text(f"{image} output=a.ext4\noci:nowhere output=b.ext4\n")
    done = run("batch", tmp_path / "list", "-o", tmp_path / "disks", "--progress", progress, "-j", 1)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    if progress == "json":
        events = [json.loads(line) for line in lines]
        first = {"event": "stage", "name": "building 2 disks", "total": 2, "unit": "disks", "image": None}
        assert {name: value for name, value in events[0].items() if name != "time"} == first
        # Of each it is said when it was, and of which image, whoever says it.
        assert {datetime.fromisoformat(event["time"]).tzinfo for event in events} == {UTC}
        assert all("image" in event for event in events)
        disks = [f"{tmp_path}/disks/{name}.ext4" for name in "ab"]
        assert {event["image"] for event in events} == {None, *disks}
        assert [(event["image"], event["status"]) for event in events if event.get("event") == "end"] == [
            (disks[0], "built"),
            (disks[1], "failed"),
        ]
        assert [event["level"] for event in events if "level" in event] == ["info", "error", "error"]
    elif progress == "none":
        assert [line.split(":")[1] for line in lines] == [" error", " error"]
    else:
        assert lines[0] == "building 2 disks"
        assert [line[:5] for line in lines if line.startswith("[")] == ["[1/2]"]
        # Of many images at once, what each is doing is said only where it is asked for.
        assert (f"{tmp_path}/disks/a.ext4: packing ext4" in lines) == (progress == "plain")


MISTAKES = [
    (["colour"], "No such command 'colour'. (see rootfs-builder --help)"),
    ([], "Missing command. (see rootfs-builder --help)"),
    (["build"], "Missing argument 'IMAGE'. (see rootfs-builder build --help)"),
    (["build", "oci:a", "--size"], "Option '--size' requires an argument. (see rootfs-builder build --help)"),
    (["build", "--quiet=yes"], "Option '--quiet' does not take a value. (see rootfs-builder build --help)"),
    (
        ["completion"],
        "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish (see rootfs-builder completion --help)",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda value: " ".join(value))
def test_mistakes_in_the_words_are_json_too_if_that_is_asked_for(words: list[str], message: str) -> None:
    done = run("--log-format", "json", *words)
    assert (done.returncode, done.stdout) == (2, "")
    said = json.loads(done.stderr)
    assert (said.pop("time")[-1], said) == ("Z", {"level": "error", "message": message, "image": None})


@pytest.mark.parametrize(
    "words",
    [
        ["--log-format", "json", "--bogus"],
        ["--log-format", "json", "--bogus", "build"],
        ["--log-format=json", "--quiet=yes"],
        ["--bogus", "--log-format=json", "build"],
        ["--bogus", "build", "--log-format=json"],
        ["build", "--bogus", "--log-format", "json"],
        ["store", "gc", "--bogus", "--log-format", "json"],
    ],
)
def test_mistakes_are_json_too_wherever_that_is_asked_for(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["level"] == "error"


@pytest.mark.parametrize("words", [["--log-format"], ["--log-format", "xml"], ["--bogus", "--log-format"]])
def test_a_mistake_in_the_form_of_messages_is_said_as_text(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rootfs-builder: error: ")
