"""The contract of every VMM in the table: its configuration is whole, and is found where it stands."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.machines import FULL, LEAST, root

from builder.errors import UsageError
from builder.vm.machine import MachineOptions, Root
from builder.vm.vmms import VMMS

RUNS = [(name, architecture) for name, vmm in VMMS.items() for architecture in vmm.consoles]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a folder for configurations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vm").mkdir()
    return tmp_path


def configured(vmm: str, disk: Root, machine: MachineOptions, file: Path = Path("vm/file")) -> str:
    return VMMS[vmm].configure(disk, machine, file).content.decode()


@pytest.mark.parametrize(("vmm", "architecture"), RUNS)
def test_a_configuration_has_all_that_was_said(place: Path, vmm: str, architecture: str) -> None:
    disk = root(place / "web.ext4", architecture, initrd=place / "web.initrd")
    text = configured(vmm, disk, FULL)
    for name in ("../kernels/vmlinux", "../web.ext4", "../web.initrd", "../data.ext4"):
        assert name in text
    line = VMMS[vmm].line(disk, FULL)
    for word in line.replace('"', " ").split():
        assert word in text
    assert "1024" in text
    assert "4" in text.replace("1024", "").replace("ext4", "")


@pytest.mark.parametrize(("vmm", "architecture"), RUNS)
def test_the_line_says_how_the_disk_is_mounted_and_what_starts(place: Path, vmm: str, architecture: str) -> None:
    words = VMMS[vmm].line(root(place / "web.erofs", architecture, "erofs"), LEAST).split()
    assert words[-4:] == ["root=/dev/vda", "rootfstype=erofs", "ro", "init=/.rootfs-builder/init"]
    assert f"console={VMMS[vmm].consoles[architecture]}" in words
    assert any(word.startswith("panic=") for word in words)
    words = VMMS[vmm].line(root(place / "web.ext4", architecture, init=False), replace(LEAST, writable=True)).split()
    assert words[-3:] == ["root=/dev/vda", "rootfstype=ext4", "rw"]
    words = VMMS[vmm].line(root(place / "web.ext4", architecture), FULL).split()
    assert words[-5:] == ["init=/.rootfs-builder/init", "rb.data=/dev/vdb", "quiet", 'a="b', 'c"']


@pytest.mark.parametrize("vmm", VMMS)
def test_a_configuration_is_the_same_wherever_it_is_made(
    place: Path, vmm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = replace(FULL, kernel=place / "kernels/vmlinux", data=place / "data.ext4")
    made = configured(vmm, root(place / "web.ext4"), said, file=place / "vm/file")
    assert str(place) not in made
    monkeypatch.chdir(place / "vm")
    assert configured(vmm, root(place / "web.ext4"), said, file=Path("file")) == made
    near = replace(FULL, kernel=Path("../kernels/vmlinux"), data=Path("../data.ext4"))
    assert configured(vmm, root(Path("../web.ext4")), near, file=Path("file")) == made


@pytest.mark.parametrize("vmm", VMMS)
def test_links_to_folders_are_followed_and_a_link_to_the_kernel_is_kept(place: Path, vmm: str) -> None:
    (place / "deep/er").mkdir(parents=True)
    (place / "link").symlink_to("deep/er")
    (place / "vmlinux").symlink_to("vmlinux-6.1")
    text = configured(vmm, root(place / "web.ext4"), LEAST, file=Path("link/file"))
    assert "../../web.ext4" in text
    assert "../../vmlinux" in text
    assert "vmlinux-6.1" not in text


@pytest.mark.parametrize("vmm", VMMS)
def test_without_a_kernel_there_is_no_configuration(place: Path, vmm: str) -> None:
    with pytest.raises(UsageError, match="--kernel FILE"):
        configured(vmm, root(place / "web.ext4"), replace(LEAST, kernel=None))


REFUSED = {
    "half a MiB": (replace(LEAST, memory=3 << 19), "whole number of MiB"),
    "no memory": (replace(LEAST, memory=0), "whole number of MiB"),
    "too many processors": (replace(LEAST, vcpus=100_000), "processors at most"),
    "a line that the kernel cuts": (replace(LEAST, append=("x" * 2047,)), "kernels take 2047"),
    "a line with a newline": (replace(LEAST, append=("a\nb",)), "ASCII"),
    "a line with other bytes": (replace(LEAST, append=("caf\udce9",)), "ASCII"),
    "two places for what is written": (replace(LEAST, writable=True, data=Path("d")), "--writable, or --data"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("vmm", VMMS)
def test_what_no_machine_is_is_refused_in_one_line(place: Path, vmm: str, what: str) -> None:
    machine, reason = REFUSED[what]
    with pytest.raises(UsageError, match=reason) as refused:
        configured(vmm, root(place / "web.ext4"), machine)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("vmm", VMMS)
def test_an_erofs_is_not_written_to(place: Path, vmm: str) -> None:
    with pytest.raises(UsageError, match="erofs is never written to"):
        configured(vmm, root(place / "web.erofs", format_="erofs"), replace(LEAST, writable=True))


@pytest.mark.parametrize("vmm", VMMS)
def test_a_data_disk_needs_init_on_the_disk_or_in_an_initramfs(place: Path, vmm: str) -> None:
    machine = replace(LEAST, data=Path("data.ext4"))
    with pytest.raises(UsageError, match="--data is for init"):
        configured(vmm, root(place / "web.ext4", init=False), machine)
    assert "data.ext4" in configured(vmm, root(place / "web.ext4", init=False, initrd=place / "initrd"), machine)


@pytest.mark.parametrize("vmm", VMMS)
def test_an_image_for_another_machine_is_refused(place: Path, vmm: str) -> None:
    with pytest.raises(UsageError, match="runs amd64 and arm64, and the image is for 's390x'"):
        configured(vmm, root(place / "web.ext4", "s390x"), LEAST)


@pytest.mark.parametrize("vmm", VMMS)
def test_names_of_any_bytes_are_kept_or_refused(place: Path, vmm: str) -> None:
    disk = root(place / os.fsdecode(b"caf\xe9.ext4"))
    said: list[bytes] = []
    try:
        said.append(VMMS[vmm].configure(disk, LEAST, Path("file")).content)
    except UsageError as error:
        said.append(str(error).encode())
    kept = b"caf\xe9.ext4" in said[0]
    assert kept != (rb"takes names in UTF-8 alone, and 'caf\xe9.ext4' is none; rename it" in said[0])
