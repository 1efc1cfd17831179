"""The README's recipes, run as they stand there."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command import ENVIRONMENT, ROOT, argv
from support.images import Spec, layout
from support.tars import file, tar

from builder.batch.images import parse_list
from builder.cli.main import cli
from builder.options import BuildOptions
from builder.sources.transports import TRANSPORTS

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (found,) = [text for name, text in blocks if name == language and containing in text]
    return str(found)


@pytest.mark.heavy
def test_the_makefile_rebuilds_when_image_or_recipe_changes_and_only_then(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    (tmp_path / "Makefile").write_text(block("make", "--depfile"))
    layout(tmp_path / "image", Spec((tar(file("a", b"first")),)))
    program = tmp_path / "bin" / "rootfs-builder"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m builder "$@"\n')
    program.chmod(0o755)

    def make() -> tuple[str, int]:
        path = f"{program.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["make"], cwd=tmp_path, env={**ENVIRONMENT, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, (tmp_path / "rootfs.ext4").stat().st_ino

    said, first = make()
    assert "--depfile rootfs.ext4.d" in said
    assert make() == ("make: 'rootfs.ext4' is up to date.\n", first)
    later = (tmp_path / "rootfs.ext4").stat().st_mtime_ns + 10**9
    shutil.rmtree(tmp_path / "image")
    layout(tmp_path / "image", Spec((tar(file("a", b"second")),)))
    for path in (tmp_path / "image").rglob("*"):
        os.utime(path, ns=(later, later))
    said, second = make()
    assert "--depfile rootfs.ext4.d" in said
    assert second != first
    (tmp_path / "Makefile").write_text(block("make", "--depfile").replace("64M", "32M"))
    later = (tmp_path / "rootfs.ext4").stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "Makefile", ns=(later, later))
    assert make()[1] != second


def slugs(path: Path) -> set[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        file, _, heading = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        if "://" not in link and not (target.exists() and (not heading or heading in slugs(target))):
            lost.append(link)
    assert lost == []


def test_the_list_of_images_is_one(tmp_path: Path) -> None:
    jobs = parse_list(block("", "# images.txt"), "README.md", tmp_path, BuildOptions())
    assert [job.output.name for job in jobs] == ["alpine-3.20.ext4", "alpine-3.20-arm64.ext4", "busybox-latest.erofs"]


def test_the_list_of_tables_is_one(tmp_path: Path) -> None:
    jobs = parse_list(block("toml", "[defaults]"), "README.toml", tmp_path, BuildOptions())
    assert [(job.output.name, job.options.disk.free) for job in jobs] == [
        ("alpine-3.20.ext4", 128 << 20),
        ("tools.erofs", 0),
    ]


def test_the_makefile_of_a_list_makes_its_disks(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    (tmp_path / "Makefile").write_text(block("make", "include disks.mk"))
    shutil.copy(ROOT / "fixtures" / "disks.mk", tmp_path)
    for goal, said in (
        ("disks", ["build 'oci:images:tools' -o disks/tools.erofs", "build 'oci:images:web' -o disks/web.ext4 --free"]),
        ("boot-all", ["boot disks/tools.erofs", "boot disks/web.ext4"]),
    ):
        done = subprocess.run(["make", "-n", goal], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert [words for words in said if words not in done.stdout] == []


@pytest.mark.heavy
def test_files_of_ones_own_are_added_as_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout(tmp_path / "alpine", Spec((tar(file("etc/motd", b"x"), file("usr/bin/sh")),), tag="3.20"))
    (tmp_path / "site").mkdir()
    for name in ("app", "app.conf", "site/index.html"):
        (tmp_path / name).write_text("port = 80\n")
    recipe = block("", "--add app:/usr/bin/").partition("\napp.ext4\n")[0]
    words = shlex.split(recipe.removeprefix("$ rootfs-builder").replace("\\\n>", ""))
    done = subprocess.run(argv(*words), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "app.ext4\n", "")
    (tmp_path / "app.ext4").unlink()
    monkeypatch.chdir(tmp_path)
    exec(block("python", "Addition("), {})
    assert (tmp_path / "app.ext4").exists()


def test_the_init_that_the_readme_shows_is_that_of_today() -> None:
    """Where it is not, what the README shows of disks made of alpine:3.20 is to be made again."""
    digest = hashlib.sha256((ROOT / "builder/guest/programs/init-x86_64").read_bytes()).hexdigest()
    assert re.findall(r'"init","digest":{"sha256":"(\w+)"', README) == [digest]


def test_the_table_of_references_has_every_transport() -> None:
    rows = re.findall(r"^\| `([a-z-]+):", README, re.MULTILINE)
    assert sorted(rows) == sorted(TRANSPORTS)


def test_every_option_that_the_readme_names_exists() -> None:
    commands = [cli, *cli.commands.values()]
    commands += [
        below for command in commands[1:] if isinstance(command, click.Group) for below in command.commands.values()
    ]
    known = {name for command in commands for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--version"}
    # Other programs' own.
    known |= {"--no-api", "--config-file", "--hash-offset", "--key", "--new-bundle-format", "--attest"}
    known |= {"--host", "--nworkers", "--nthreads", "--resources", "--scheduler-file"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert sorted(named - known) == []
