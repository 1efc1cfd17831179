"""`rootfs-builder store`, as users run it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.command import run
from support.images import Spec, docker_archive, layout
from support.tars import file, tar

from builder.image.digest import Digest
from builder.store import open_store

AMD = Spec((tar(file("etc/motd", b"hello\n")), tar(file("a", b"amd"))), tag="1.0")
ARM = Spec((tar(file("etc/motd", b"hello\n")),), tag="1.0", platform="linux/arm64")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A layout `app` for two platforms, and an archive `saved.tar` with docker.io/library/example:1."""
    layout(tmp_path / "app", AMD, ARM, nested="1.0")
    docker_archive(tmp_path / "saved.tar", Spec((tar(file("c", b"c")),), tag="example:1"))
    return tmp_path


def store(place: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return run("store", *words, ROOTFS_BUILDER_STORE=str(place / "store"))


def answered(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def failed(ran: subprocess.CompletedProcess[str], status: int) -> str:
    assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
    return ran.stderr


@pytest.mark.heavy
def test_images_are_pulled_listed_built_removed_and_collected(images: Path) -> None:
    nothing = store(images, "list")
    assert (answered(nothing), nothing.stderr) == ("", f"no images in {images}/store/images\n")
    assert (answered(store(images, "-q", "list")), answered(store(images, "list", "--json"))) == ("", "[]\n")
    pulled = store(images, "pull", f"oci:{images}/app:1.0", images / "saved.tar", "--platform", "linux/amd64")
    assert answered(pulled) == "localhost/app:1.0\ndocker.io/library/example:1\n"
    assert pulled.stderr.splitlines()[0].startswith("pulling 2 layers, ")
    lines = answered(store(images, "list")).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["REPOSITORY", "TAG"],
        ["docker.io/library/example", "1"],
        ["localhost/app", "1.0"],
    ]
    environment = {"ROOTFS_BUILDER_STORE": str(images / "store")}
    unpacked = run("unpack", "store:app:1.0", images / "root", "--platform", "linux/amd64", **environment)
    assert unpacked.returncode == 0, unpacked.stderr
    assert (images / "root/etc/motd").read_text() == "hello\n"
    assert answered(store(images, "remove", "app:1.0")) == "localhost/app:1.0\n"
    assert answered(store(images, "gc", "--dry-run")).endswith(
        " would be freed: 5 blobs, 0 temporary files, 0 leases\n"
    )
    assert answered(store(images, "gc")).endswith(" freed: 5 blobs, 0 temporary files, 0 leases\n")
    assert answered(store(images, "gc")) == "0 B freed: 0 blobs, 0 temporary files, 0 leases\n"
    assert len(answered(store(images, "list")).splitlines()) == 2


def test_the_list_is_there_for_programs(images: Path) -> None:
    answered(store(images, "add", f"oci:{images}/app:1.0", "--all-platforms"))
    answered(store(images, "add", "store:app:1.0", "--name", "example.com:5000/app"))
    (one, other) = json.loads(answered(store(images, "list", "--json")))
    assert one == {
        "repository": "example.com:5000/app",
        "tag": "latest",
        "names": ["example.com:5000/app:latest", "localhost/app:1.0"],
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": one["digest"],
        "platforms": one["platforms"],
        "layers": 2,
        "size": sum(path.stat().st_size for path in (images / "store/images/blobs/sha256").iterdir()),
        "missing": [],
        "problem": None,
    }
    assert sorted(one["platforms"]) == ["linux/amd64", "linux/arm64"]
    assert other == {**one, "repository": "localhost/app", "tag": "1.0"}


def test_an_images_own_words_do_not_move_the_cursor(tmp_path: Path) -> None:
    odd = "li\x1b[2J\n\x9b\u202e/b"
    layout(tmp_path / "app", Spec(platform=odd, tag="1", config={"User": odd, "Env": [odd]}))
    answered(store(tmp_path, "pull", f"oci:{tmp_path}/app:1", "--all-platforms"))
    for words in (("store", "list"), ("inspect", "--quick", f"oci:{tmp_path}/app:1")):
        said = answered(run(*words, ROOTFS_BUILDER_STORE=str(tmp_path / "store")))
        assert "li\\x1b[2" in said
        assert [line for line in said.splitlines() if not line.isprintable()] == []
    mistake = failed(run("inspect", "containers-storage:[a\x1b[2Jb@/]x"), 3).removesuffix("\n")
    assert mistake.isprintable()


def test_an_empty_list_is_one_for_programs_too(images: Path) -> None:
    assert json.loads(answered(store(images, "list", "--json"))) == []


@pytest.mark.parametrize("words", [["--platform", "linux/amd64,linux/arm64"], ["--all-platforms"],
                                   ["--platform", "linux/amd64", "--platform", "linux/arm64"]])  # fmt: skip
def test_platforms_can_be_chosen(images: Path, words: list[str]) -> None:
    answered(store(images, "pull", f"oci:{images}/app", *words))
    (listed,) = json.loads(answered(store(images, "list", "--json")))
    assert sorted(listed["platforms"]) == ["linux/amd64", "linux/arm64"]


def test_the_store_is_said_on_either_command_or_in_the_environment(images: Path) -> None:
    for number, words in enumerate(
        [
            ["store", "--store", images / "0", "add", f"oci:{images}/app"],
            ["store", "add", f"oci:{images}/app", "--store", images / "1"],
            ["store", "--store", images / "nothing", "add", f"oci:{images}/app", "--store", images / "2"],
        ]
    ):
        answered(run(*words, ROOTFS_BUILDER_STORE=str(images / "nothing")))
        assert (images / str(number) / "images/blobs").is_dir()
    assert not (images / "nothing").exists()
    answered(run("store", "add", f"oci:{images}/app", XDG_DATA_HOME=str(images / "data")))
    assert (images / "data/rootfs-builder/images/blobs").is_dir()
    assert answered(run("store", "list", "--store", f"osfs://{images}/0")).splitlines()[1].startswith("localhost/app")


@pytest.mark.heavy
def test_what_is_corrupt_is_named_and_moved_away(images: Path) -> None:
    answered(store(images, "add", images / "saved.tar"))
    intact = store(images, "verify")
    assert answered(intact) == ""
    assert "3 blobs of 1 image are intact" in intact.stderr
    place = open_store(str(images / "store"))
    digest = Digest.of(tar(file("c", b"c")))
    path = Path(place.path(digest) or "")
    path.write_bytes(b"changed")
    for words in ([], ["--quarantine"]):
        ran = store(images, "verify", *words)
        assert ran.returncode == 3
        assert ran.stdout.startswith(f"{path}: its content is {Digest.of(b'changed')}; needed by docker.io/library/")
        assert ("moved to quarantine/" in ran.stdout) == bool(words)
        assert ran.stderr.splitlines()[-1].startswith("rootfs-builder: error: ")
        assert "1 thing is damaged" in ran.stderr
    ran = store(images, "verify", "--json")
    assert ran.returncode == 3
    (damage,) = json.loads(ran.stdout)["damages"]
    assert damage["what"] == "docker.io/library/example:1"
    assert "missing" in answered(store(images, "list", "--json"))
    answered(store(images, "add", images / "saved.tar"))
    assert answered(store(images, "verify")) == ""


@pytest.mark.heavy
def test_mistakes_are_said_in_one_line(images: Path) -> None:
    answered(store(images, "add", f"oci:{images}/app"))
    said = failed(store(images, "remove", "appp:1.0"), 1)
    assert said.endswith("; did you mean localhost/app:1.0?\n")
    said = failed(store(images, "remove", "app:1.0", "other"), 1)
    assert said.count("\n") == 1
    assert len(answered(store(images, "list")).splitlines()) == 2
    said = failed(store(images, "remove", "Not A Name"), 2)
    assert "is no repository" in said
    said = failed(store(images, "pull", f"oci:{images}/app", images / "saved.tar", "--name", "localhost/x"), 2)
    assert "--name is for one image" in said
    said = failed(store(images, "pull", f"oci:{images}/app", "--all-platforms", "--platform", "linux/amd64"), 2)
    assert "contradict each other" in said
    said = failed(store(images, "pull", f"oci:{images}/app", "--platform", "linux"), 2)
    assert "write it as os/architecture" in said
    assert failed(store(images, "pull"), 2).count("\n") == 1


def test_a_short_name_that_is_two_images_is_not_removed(images: Path) -> None:
    answered(store(images, "add", images / "saved.tar"))
    answered(store(images, "add", f"oci:{images}/app", "--name", "localhost/example:1"))
    said = failed(store(images, "remove", "example:1"), 2)
    assert "write localhost/example:1 or docker.io/library/example:1" in said


@pytest.mark.root
def test_a_place_that_may_not_be_written_is_status_4(images: Path) -> None:
    (images / "locked").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", images / "locked"], check=True)
    try:
        said = failed(run("store", "add", f"oci:{images}/app", "--store", images / "locked"), 4)
    finally:
        subprocess.run(["umount", images / "locked"], check=True)
    assert "the file system is read-only; choose another with --store" in said


def test_help_names_every_command() -> None:
    said = answered(run("store", "--help"))
    for name in ("pull", "add", "list", "verify", "remove", "gc"):
        assert f"\n  {name} " in said
