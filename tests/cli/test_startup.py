"""What starts at once: help and version import nothing that they do not need, and no command what another needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command import ENVIRONMENT, argv, run_in
from support.images import Spec, layout
from support.tars import file, tar

from builder.cli.command import Commands
from builder.cli.main import COMMANDS, cli
from builder.sources.transports import TRANSPORTS

# Each of these takes as long as all that help needs.
HEAVY = {
    "libarchive", "urllib3", "ssl", "rich", "fs", "isal", "zstandard", "google_crc32c", "msgspec", "distributed",
    "concurrent.futures", "builder.archive", "builder.registry.http", "builder.containers_storage", "builder.store",
    "builder.layers", "builder.tree", "builder.disk", "builder.actions", "builder.batch",
}  # fmt: skip


def imported(*words: str) -> set[str]:
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules)); from builder.__main__ import main; main()"
    command = [sys.executable, "-c", code, *words]
    return set(subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_import_nothing_that_they_do_not_need(option: str) -> None:
    assert imported(option) & HEAVY == set()


@pytest.mark.heavy
def test_a_command_does_not_import_what_only_others_need() -> None:
    assert imported("completion", "bash") & HEAVY == set()
    others = {
        "rich",
        "urllib3",
        "importlib.metadata",
        "builder.batch",
        "builder.containers_storage.store",
        "builder.store",
        "builder.guest.initramfs",
        "distributed",
    }
    assert imported("build", "--help") & others == set()
    assert imported("batch", "--help") & {"rich", "squarify", "builder.batch.page"} == set()


@pytest.mark.heavy
def test_a_disk_that_is_up_to_date_does_not_wait_for_what_writes_one(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    words = ("build", f"oci:{tmp_path / 'image'}", "-o", str(tmp_path / "disk.ext4"))
    writers = {"libarchive", "builder.actions.merge", "builder.disk.ext4.fill", "builder.disk.erofs.restore"}
    metadata = ("--metadata-file", str(tmp_path / "disk.json"))
    assert imported(*words, *metadata) & writers == writers - {"builder.disk.erofs.restore"}
    assert imported(*words, *metadata) & writers == set()


@pytest.mark.heavy
def test_a_build_imports_nothing_of_what_only_few_ask_for(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    words = ("build", f"oci:{tmp_path / 'image'}", "-o", str(tmp_path / "disk.ext4"), "--force")
    rare = {"builder.packages.inventory", "packageurl", "sqlite3", "cryptography", "builder.sources.signatures"}
    assert imported(*words) & rare == set()
    # SQLite is for rpm's database only, which is not there.
    packages = {"builder.packages.inventory"}
    assert imported(*words, "--sbom", str(tmp_path / "sbom")) & (rare | {"builder.packages.rpm"}) == packages


@pytest.mark.heavy
def test_a_batch_that_is_up_to_date_imports_nothing_that_draws_writes_or_talks(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    (tmp_path / "list").write_text(f"oci:{tmp_path}/image\n")
    words = ("batch", str(tmp_path / "list"), "-o", str(tmp_path / "disks"), "--report", str(tmp_path / "r.json"))
    idle = {"rich", "distributed", "urllib3", "libarchive", "builder.actions.merge", "builder.batch.worker"}
    # Nor does one that builds: others do, in processes of their own.
    assert imported(*words) & idle == set()
    assert imported(*words) & idle == set()


@pytest.mark.heavy
def test_what_parses_layers_is_not_imported_where_all_are_kept(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    words = ("build", f"oci:{tmp_path / 'image'}", "--cache", str(tmp_path / "cache"))
    parsers = {"libarchive", "builder.layers.stream"}
    assert imported(*words, "-o", str(tmp_path / "first.ext4")) & parsers == parsers
    assert imported(*words, "-o", str(tmp_path / "second.ext4")) & parsers == set()


def test_the_library_imports_nothing_until_it_is_asked_for_something() -> None:
    code = "import builder, sys; assert not [name for name in sys.modules if name.startswith('builder.')], sys.modules"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


def test_the_table_of_commands_says_what_their_own_help_says() -> None:
    assert isinstance(cli.commands, Commands)
    stated = {name: command.get_short_help_str(100) for name, command in COMMANDS.items()}
    assert stated == COMMANDS.summaries


def test_help_has_the_transports_as_their_table_has_them() -> None:
    forms = [
        f"{form:32}{'the same, by digest' if number else each.summary}"
        for each in TRANSPORTS.values()
        for number, form in enumerate(each.forms)
    ]
    text = cli.get_help(click.Context(cli))
    listed = text.partition("name it:\n\n")[2].partition("\n\n")[0].splitlines()
    assert [line.strip() for line in listed[:-1]] == forms


def test_every_command_is_in_help_and_has_the_options_of_all() -> None:
    context = click.Context(cli, info_name="rootfs-builder")
    assert all(f"  {name} " in cli.get_help(context) for name in COMMANDS)
    for command in [cli, *COMMANDS.values()]:
        below = command.commands.values() if isinstance(command, click.Group) and command is not cli else []
        for each in [command, *below]:
            assert {"quiet", "verbose", "log_format", "progress"} <= {parameter.name for parameter in each.params}


@pytest.mark.heavy
@pytest.mark.parametrize("words", [["inspect", "oci:image"], ["build", "oci:none", "-o", "d"], ["nonsense"]])
def test_what_tests_fork_is_what_a_new_process_is(tmp_path: Path, words: list[str]) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    said = {"ROOTFS_BUILDER_PLATFORM": "linux/amd64"}
    new = subprocess.run(
        argv(*words), cwd=tmp_path, env={**ENVIRONMENT, **said}, capture_output=True, text=True, check=False
    )
    forked = run_in(tmp_path, *words, **said)
    assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)
    assert new.stdout or new.stderr
