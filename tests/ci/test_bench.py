"""The judge of speed: its inputs are the same everywhere, its floor verifies, and its table says what was measured."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benching.floor import floor
from benching.inputs import COMPRESSIONS, INPUTS, Entry, entries, write_image
from benching.layers import blobs
from benching.measuring import Failed, Run, resident, watched
from benching.peers import FLOOR, Input, peers
from benching.table import Made, markdown
from support.command import ENVIRONMENT, ROOT, run

PLAIN = {"PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_floor_reads_all_of_an_image_and_holds_it_against_its_digests(tmp_path: Path, compression: str) -> None:
    layers = blobs(write_image(tmp_path / "image", entries(300, 3), compression))
    # A block of header and one of content for each file, one for each directory, and the archives' ends.
    assert (len(layers), floor(layers) >= 3 * 100 * 1024) == (3, True)
    assert {layer.media_type.rpartition("+")[2] for layer in layers} == {compression}
    other = blobs(write_image(tmp_path / "other", entries(299, 3), compression))[1]
    layers[1].path.write_bytes(other.path.read_bytes())
    with pytest.raises(ValueError, match="is not what its digests say"):
        floor(layers)


def test_inputs_are_the_same_whenever_they_are_made(tmp_path: Path) -> None:
    first, again = (blobs(write_image(tmp_path / name, entries(200, 2), "gzip")) for name in ("first", "again"))
    assert [layer.digest for layer in first] == [layer.digest for layer in again]
    # That of the tar is the same with every version of zlib.
    assert first[0].diff_id == "sha256:2265da2ef80b993a5c5ab3438f2ea72a81388a868a60acf05340351d63286d52"


@pytest.mark.heavy
def test_inputs_are_what_their_names_say() -> None:
    made = {name: [entry for layer in layers() for entry in layer] for name, layers in INPUTS.items()}
    sizes = {name: [size for _, size in found if size is not None] for name, found in made.items()}
    assert [len(sizes[name]) for name in ("small", "many", "large")] == [9500, 300_000, 20]
    assert (min(sizes["many"]), max(sizes["many"])) == (1000, 8000)
    assert sum(sizes["large"]) == 6_000_000_000
    assert 190e6 < sum(sizes["small"]) < 215e6
    assert len(made["small"]) - len(sizes["small"]) == 500


@pytest.mark.heavy
def test_an_input_is_an_image_that_becomes_a_disk(tmp_path: Path) -> None:
    layers: Iterator[list[Entry]] = iter([[("a/one", 5000), ("a/two", 70_000)], [("a/.wh.one", None), ("b", 3)]])
    reference = write_image(tmp_path / "image", layers, "zstd")
    disk = tmp_path / "disk.erofs"
    done = run("build", reference, "-o", disk, "--init", "none")
    assert done.returncode == 0, done.stderr
    listed = run("inspect", disk, "--tree").stdout
    assert [name for name in ("one", "two", "b") if re.search(rf"\b{name}\b", listed)] == ["two", "b"]


def test_the_table_has_medians_and_their_ratios_to_the_floor() -> None:
    made = {
        FLOOR: [Made(Run(seconds, 1.0, 20_000_000, 0), 0) for seconds in (1.0, 2.0, 9.0)],
        "ours": [Made(Run(5.0, 2.5, 100_000_000, 300_000_000), 200_000_000)],
        "theirs": [],
    }
    assert markdown("small", made, FLOOR, {"theirs": "is not there"}).splitlines() == [
        "| small | time | of L | processor | of L | memory | written | of the result |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {FLOOR} | 2.00 s | 1.00 | 1.00 s | 1.00 | 20 MB | - | - |",
        "| ours | 5.00 s | 2.50 | 2.50 s | 2.50 | 100 MB | 300 MB | 1.50 |",
        "",
        "Not measured: theirs: is not there",
    ]


def test_memory_is_that_of_a_process_and_all_below_it() -> None:
    holding = "import sys; held = bytearray(80_000_000); print(len(held), flush=True); sys.stdin.read()"
    argv = ["sh", "-c", '"$@"; exit 0', "sh", sys.executable, "-c", holding]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"80000000\n"
        at_once, peak = resident(process.pid)
    # The shell itself has a hundredth of that. What either had once, it need not have any more.
    assert min(at_once, peak) > 80_000_000
    assert resident(process.pid) == (0, 0)


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"^sh: status 3: no room$"):
        watched(["sh", "-c", "echo first >&2; echo no room >&2; exit 3"], tmp_path, PLAIN)
    took = watched(["sh", "-c", "pwd >found"], tmp_path, PLAIN)
    assert (tmp_path / "found").read_text() == f"{tmp_path}\n"
    assert (took.written, took.seconds > 0) == (0, True)


def test_every_peer_says_what_it_runs_or_why_it_is_not_here(tmp_path: Path) -> None:
    image = Input(f"oci:{tmp_path}:bench", "127.0.0.1:1/bench:1", [], 10 << 20, 20)
    found = list(peers())
    assert len({peer.name for peer in found}) == len(found)
    for peer in found:
        commands = peer.commands(image)
        assert peer.lacks or all(shutil.which(argv[0]) for argv in commands)
        # Those that need a registry ask it, and nobody else does.
        assert ("from a registry" in peer.name) == any(image.remote in str(word) for argv in commands for word in argv)
        assert peer.local <= ("from a registry" not in peer.name)


@pytest.mark.slow
@pytest.mark.root
def test_the_judge_measures_the_floor_and_ours(tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", entries(300, 2), "gzip")
    argv: list[str | Path] = [
        sys.executable,
        ROOT / "ci/measure",
        reference,
        "--rounds",
        "1",
        "--local",
        "--room",
        "1",
        "--name",
        "tiny",
    ]
    unshare = ["unshare", "--mount", "--propagation", "private"]
    done = subprocess.run([*unshare, *argv], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.split("\n\n")[0].splitlines()
    assert head.startswith("| tiny: 2 layers, ")
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows][:3] == [FLOOR, "ours, ext4", "ours, erofs"]
    # What a disk takes has been written at least once.
    assert all(float(row.split(" | ")[-1].rstrip(" |")) >= 1 for row in rows[1:3])


@pytest.mark.slow
def test_the_judge_measures_how_a_build_grows() -> None:
    argv: list[str | Path] = [
        sys.executable,
        ROOT / "ci/bench-scale",
        "--entries",
        "1000",
        "--layers",
        "1",
        "--rounds",
        "1",
    ]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| (.+?) \|", done.stdout, re.M) == [
        *("entries, ext4", "---:", "start", "1,000", "layers of 5,000 entries, ext4", "---:", "start", "1"),
        *("entries, erofs", "---:", "start", "1,000", "layers of 5,000 entries, erofs", "---:", "start", "1"),
    ]
