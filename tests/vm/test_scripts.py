"""What every script that starts a machine does, whoever starts it, from wherever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.machines import FULL, LEAST, root
from support.scripts import ODD_NAMES, run_script, write_script

from builder.vm.vmms import VMMS

SCRIPTS = [name for name, vmm in VMMS.items() if vmm.configure(root(Path("d")), LEAST, Path("f")).executable]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "vm").mkdir()
    return tmp_path


def test_there_are_scripts() -> None:
    assert SCRIPTS == ["qemu", "cloud-hypervisor"]


@pytest.mark.parametrize("vmm", SCRIPTS)
def test_a_script_works_from_any_directory_by_a_link_through_path_and_by_a_shell(place: Path, vmm: str) -> None:
    folder = place / "vm"
    file = write_script(vmm, root(place / "web.ext4"), FULL, folder / "run")
    (place / "link").symlink_to("vm/run")
    (place / "elsewhere/vm").mkdir(parents=True)
    through_path = {"PATH": f"{folder}:{place}/programs:{os.environ['PATH']}", "CDPATH": str(place / "elsewhere")}
    commands: list[tuple[list[str | Path], Path]] = [
        ([file], Path("/")),
        (["./run"], folder),
        (["vm/run"], place),
        ([place / "link"], Path("/")),
        (["sh", "run"], folder),
        (["sh", "-c", "run"], Path("/")),
    ]
    for command, cwd in commands:
        done, asked = run_script(command, place, through_path, cwd)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert asked is not None
        assert asked.folder == folder


@pytest.mark.parametrize("vmm", SCRIPTS)
def test_its_arguments_go_to_the_vmm_as_they_are(place: Path, vmm: str) -> None:
    file = write_script(vmm, root(place / "web.ext4"), FULL, place / "vm/run")
    said = ["-v", "", "a b", "*", "$HOME"]
    _, asked = run_script([file, *said], place, cwd=Path("/"))
    assert asked is not None
    assert asked.argv[-5:] == said


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("vmm", SCRIPTS)
def test_no_name_is_taken_for_anything_else(place: Path, vmm: str, name: str) -> None:
    folder = place / name
    folder.mkdir()
    file = write_script(vmm, root(folder / name), LEAST, folder / "run")
    done, asked = run_script([file], place, cwd=Path("/"))
    assert done.stderr == ""
    assert asked is not None
    assert asked.folder == folder
    doubled = name.replace(",", ",,")
    assert any(f"./{name}" in word or f"./{doubled}" in word for word in asked.argv) or '"' in name


@pytest.mark.parametrize("vmm", SCRIPTS)
def test_a_vmm_that_is_not_there_is_named(place: Path, vmm: str) -> None:
    file = write_script(vmm, root(place / "web.ext4"), LEAST, place / "vm/run")
    (place / "bin").mkdir()
    for tool in ("readlink", "uname", "sh"):
        found = next(Path(d) / tool for d in ("/usr/bin", "/bin") if (Path(d) / tool).exists())
        (place / "bin" / tool).symlink_to(found)
    done, _ = run_script([file], place, {"PATH": str(place / "bin")})
    assert done.returncode == 127
    assert "not found" in done.stderr
