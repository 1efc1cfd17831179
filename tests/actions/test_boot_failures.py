"""What a boot lacks is said in one line, before or after there was a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder.actions.blank import blank
from builder.actions.boot import boot
from builder.actions.boot_failures import DiskDamaged, ForeignInit, MachineEnded, NoInit, PortTaken, of_guest, of_qemu
from builder.actions.booting import BootOptions, FileUnreadable, GuestFailed, format_of
from builder.actions.build import build
from builder.errors import MissingRequirement, OutputDenied, ToolFailed, UsageError
from builder.vm.kernels import newest_kernel


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    return build(f"oci:{tmp_path}/image", tmp_path / "disk.erofs").output


@pytest.mark.parametrize("place", ["directory", "fifo", "/dev/null", "text"])
def test_what_is_no_disk_is_refused_in_a_line(disk: Path, place: str) -> None:
    (disk.parent / "directory").mkdir()
    os.mkfifo(disk.parent / "fifo")
    (disk.parent / "text").write_text("no disk")
    wrong = disk.parent / place
    for path, data, advice in ((wrong, None, "build one with rootfs-builder build"), (disk, wrong, "make one with")):
        with pytest.raises(UsageError, match=f"is no disk; {advice}"):
            boot(path, BootOptions(kernel=disk, data=data))


def test_a_drive_that_cannot_be_read_is_named() -> None:
    # It is open to us, and has nothing at its beginning.
    with pytest.raises(FileUnreadable, match=r"^/proc/self/mem: cannot be read: Input/output error; check the path$"):
        format_of(Path("/proc/self/mem"))


def test_a_disk_that_goes_while_it_is_looked_at_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"gone: cannot be read: No such file or directory; check the path$"):
        format_of(tmp_path / "gone")


def test_data_want_ext4_and_a_kernel_memory(disk: Path) -> None:
    with pytest.raises(UsageError, match=r"is no ext4, as data need it; make one with rootfs-builder blank"):
        boot(disk, BootOptions(kernel=disk, data=disk))
    with pytest.raises(UsageError, match="no kernel starts in 1024 bytes of memory; give it 64M or more"):
        boot(disk, BootOptions(kernel=disk, memory=1024))


def test_an_empty_text_is_nothing_to_expect(disk: Path) -> None:
    # As of a variable that a script has not set: whatever the process did would be well.
    with pytest.raises(UsageError, match="the text to expect is empty"):
        boot(disk, BootOptions(kernel=disk, expect=""))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
@pytest.mark.parametrize("name", ["writable", "data"])
def test_what_a_guest_writes_to_and_this_user_may_not_is_named(disk: Path, name: str) -> None:
    denied = blank(disk.with_name("denied.ext4"), 16 << 20).output
    denied.chmod(0o444)
    options = BootOptions(kernel=disk, **({"data": denied} if name == "data" else {"writable": True}))
    with pytest.raises(OutputDenied, match=r"denied.ext4: Permission denied; make it writable for this user"):
        boot(disk if name == "data" else denied, options)


def test_a_system_without_a_kernel_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirement) as refused:
        newest_kernel(tmp_path / "boot", tmp_path / "modules")
    for package in ("linux-image-cloud-amd64 (Debian)", "kernel-core (Fedora)", "linux-virt (Alpine)", "--kernel"):
        assert package in str(refused.value)


def test_the_newest_kernel_that_has_modules_is_taken(tmp_path: Path) -> None:
    names = ["6.9.0", "6.10.0", "6.9.1-virt", "6.9.10-virt"]
    for name in names:
        (tmp_path / "modules" / name).mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    for name in ("vmlinuz-virt", "vmlinuz-7.0.0"):
        (tmp_path / "boot" / name).touch()
    # As Alpine names it.
    found = tmp_path / "boot/vmlinuz-virt", tmp_path / "modules/6.9.10-virt"
    assert newest_kernel(tmp_path / "boot", tmp_path / "modules") == found
    for name in ("vmlinuz-6.9.0", "vmlinuz-6.10.0"):
        (tmp_path / "boot" / name).touch()
    found = tmp_path / "boot/vmlinuz-6.10.0", tmp_path / "modules/6.10.0"
    assert newest_kernel(tmp_path / "boot", tmp_path / "modules") == found


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_kernel_that_only_root_may_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules/6.8").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.8").touch(mode=0)
    with pytest.raises(MissingRequirement, match=r"vmlinuz-6.8 is not for this user to read, .* sudo chmod a\+r"):
        newest_kernel(tmp_path / "boot", tmp_path / "modules")


def test_a_port_that_is_taken_is_named() -> None:
    said = "qemu-system-x86_64: -netdev user,id=n: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'\n"
    failed = ToolFailed(["qemu-system-x86_64"], 1, said)
    assert isinstance(of_qemu(failed), PortTaken)
    assert str(of_qemu(failed)).startswith("port 8080 of this machine is in use")
    other = ToolFailed(["qemu-system-x86_64"], 1, "something else")
    assert of_qemu(other) is other


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            'qemu: -device virtio-blk: Failed to get "write" lock\nIs another process using the image [./data.ext4]?\n',
            "data.ext4: another machine has it, and one of them writes to it; give each its own",
        ),
        ("qemu: linux kernel too old to load a ram disk\n", "k: is no kernel that qemu can boot; name another with"),
        ("qemu: Error loading uncompressed kernel without PVH ELF Note\n", "k: is no kernel that qemu can boot"),
    ],
)
def test_what_qemu_says_is_said_of_what_it_is_about(said: str, line: str) -> None:
    assert str(of_qemu(ToolFailed(["qemu", "-kernel", "./k"], 1, said))).startswith(line)


def test_of_a_panic_not_the_trace_is_told() -> None:
    console = ["[ 1.0] early", "[ 2.0] VFS: no root", "[ 2.0] Kernel panic - not syncing", *["[ 2.1]  trace"] * 30]
    failure = of_guest(Path("/disk"), console, BootOptions(), "")
    assert "last words: [ 1.0] early / [ 2.0] VFS: no root / [ 2.0] Kernel panic - not syncing; look" in str(failure)


def test_of_a_guest_without_memory_it_is_said_how_it_gets_more() -> None:
    failure = of_guest(
        Path("/disk"), ["[ 2.0] Kernel panic - not syncing: System is deadlocked on memory"], BootOptions(), ""
    )
    assert str(failure).endswith("System is deadlocked on memory; give it more with --memory")
    silent = of_guest(Path("/disk"), [], BootOptions(), "")
    assert str(silent).endswith("without a word, as one does that has too little memory; give it more with --memory")


def test_a_machine_that_somebody_ended_did_not_lack_memory() -> None:
    said = "terminating on signal 15 from pid 7 (bash)"
    failure = of_guest(Path("/disk"), [], BootOptions(), f"qemu-system-x86_64: {said}\n")
    words = f"/disk: QEMU was ended before the guest's process had: {said}; boot it again"
    assert (type(failure), str(failure)) == (MachineEnded, words)


@pytest.mark.parametrize(
    ("said", "kernel", "kind", "words"),
    [
        ("init: /.rootfs-builder/init: No such file or directory; x", None, NoInit, "build it with --init auto"),
        ("init: /.rootfs-builder/init: Exec format error; x", None, ForeignInit, "with --machine virt (arm64)"),
        ("/dev/vda: No such file or directory; root= says", Path("/k"), UsageError, "with --modules"),
        ("rb.ports: the kernel shows none; it needs the driver virtio_console", Path("/k"), UsageError, "/k: "),
        ("/dev/vda: No such file or directory; root= says", None, GuestFailed, "its last words"),
        ("the module ext4.ko cannot be loaded: Exec format error", None, UsageError, "of another kernel"),
        ("Kernel panic", Path("/k"), GuestFailed, "Kernel panic"),
        ("init: /dev/vda: Bad message; root= says", Path("/k"), DiskDamaged, "/disk: the guest's kernel cannot"),
        ("init: /dev/vdb: Bad message; rb.data= has", None, DiskDamaged, "/data: the guest's kernel cannot read it"),
        ("init: rb.data: No such file or directory; take", None, UsageError, "/data: has no room for what the guest"),
        ("init: /dev/dm-0: Invalid argument; root= says", None, DiskDamaged, "cannot read it: it is damaged, or"),
        ("init: /.rootfs-builder/init: I/O error; name", None, DiskDamaged, "ask rootfs-builder verify, and build it"),
    ],
)  # fmt: skip
def test_a_guest_that_ended_early_is_said_to_lack_what_it_lacked(
    said: str, kernel: Path | None, kind: type[Exception], words: str
) -> None:
    failure = of_guest(Path("/disk"), [said], BootOptions(kernel=kernel, data=Path("/data")), "")
    assert (type(failure), words in str(failure)) == (kind, True)
