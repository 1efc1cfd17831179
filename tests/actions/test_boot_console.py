"""Booting under Firecracker and cloud-hypervisor. Neither runs in CI, so a program in its place says what it would."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.machines import validate
from support.tars import file, tar

from builder import build
from builder.actions.boot import boot
from builder.actions.boot_console import console_command
from builder.actions.booting import Booted, BootOptions, GuestFailed, GuestTimedOut
from builder.errors import BuilderError, MissingRequirement, OutputError, UsageError
from builder.vm.console import Console
from builder.vm.qemu import Forward
from builder.vm.vmms import VMMS

RUNNERS = {name: vmm.runner for name, vmm in VMMS.items() if vmm.runner}
SAYS = "printf '[    0.000000] Linux\\r\\nhello\\r\\nrootfs-builder init: the process ended with status 3\\r\\n'"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
    monkeypatch.setattr("builder.actions.boot_console.KVM", tmp_path / "kvm")
    (tmp_path / "programs").mkdir()
    (tmp_path / "kvm").touch()
    layout(tmp_path / "image", Spec((tar(file("a", b"content", mode=0o755)),), config={"Entrypoint": ["/a"]}))
    return build(f"oci:{tmp_path}/image", tmp_path / "web.erofs").output


def install(place: Path, vmm: str, script: str) -> None:
    program = place / "programs" / (RUNNERS[vmm].program)
    program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > {place}/argv\n{script}\n')
    program.chmod(0o755)


def options(disk: Path, vmm: str, **said: object) -> BootOptions:
    return BootOptions(vmm=vmm, kernel=disk.parent / "kvm", initrd=disk.parent / "kvm", **said)  # type: ignore[arg-type]


def booted(disk: Path, said: BootOptions) -> tuple[Booted, bytes]:
    out = os.memfd_create("out")
    try:
        return boot(disk, said, (0, out, 2)), os.pread(out, 65536, 0)
    finally:
        os.close(out)


def argv(place: Path) -> list[str]:
    return (place / "argv").read_text().split("\0")[:-1]


@pytest.mark.parametrize("vmm", RUNNERS)
def test_the_process_says_its_words_and_its_status(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, SAYS)
    assert booted(disk, options(disk, vmm)) == (Booted(3), b"hello\n")


@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_machine_whose_kernel_has_halted_is_switched_off(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, f"{SAYS}; printf '[    9.000000] reboot: System halted\\r\\n'; exec sleep 1000")
    assert booted(disk, options(disk, vmm)) == (Booted(3), b"hello\n")


@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_vmm_that_fails_after_its_guest_ended_changes_nothing(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, f"{SAYS}; exit 1")
    assert booted(disk, options(disk, vmm))[0].status == 3
    install(disk.parent, vmm, "echo 'no such disk' >&2; exit 1")
    with pytest.raises(BuilderError, match="no such disk"):
        booted(disk, options(disk, vmm))


@pytest.mark.parametrize("vmm", RUNNERS)
def test_what_a_vmm_that_has_failed_said_last_is_read_first(
    disk: Path, vmm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Console._take

    def late(console: Console, line: bytes, end: bytes) -> None:
        time.sleep(0.1)
        take(console, line, end)

    monkeypatch.setattr(Console, "_take", late)
    install(disk.parent, vmm, f"{SAYS}; exit 1")
    assert booted(disk, options(disk, vmm)) == (Booted(3), b"hello\n")


@pytest.mark.parametrize("vmm", RUNNERS)
@pytest.mark.parametrize("word", ["reboot: Power down", "Kernel panic - not syncing: no root"])
def test_a_guest_has_failed_that_ends_without_a_word_of_its_process_or_panics(disk: Path, vmm: str, word: str) -> None:
    # Who panics does not end by itself.
    install(disk.parent, vmm, f"printf '[    1.000000] {word}\\r\\n'; case '{word}' in *panic*) sleep 100 ;; esac")
    with pytest.raises(GuestFailed, match=word):
        booted(disk, options(disk, vmm))


@pytest.mark.parametrize("vmm", RUNNERS)
def test_time_and_an_expected_text_end_it(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, "printf 'ready'; sleep 100")
    assert booted(disk, options(disk, vmm, expect="ready"))[0] == Booted(0)
    with pytest.raises(GuestTimedOut):
        booted(disk, options(disk, vmm, timeout=0.3))


@pytest.mark.heavy
def test_firecracker_reads_a_configuration_with_all_that_was_said(disk: Path) -> None:
    place = disk.parent
    install(place, "firecracker", f'cp "$6" {place}/machine.json; {SAYS}')
    data = build(f"oci:{place}/image", place / "data.ext4").output
    said = options(disk, "firecracker", memory=1 << 30, vcpus=2, data=data, append=("a=b",), args=("x y",))
    booted(disk, said)
    asked = argv(place)
    assert asked[:3] == ["--level", "Error", "--api-sock"]
    assert asked[4] == "--config-file"
    made = json.loads((place / "machine.json").read_bytes())
    validate(made, "firecracker")
    assert made["machine-config"] == {"vcpu_count": 2, "mem_size_mib": 1024}
    assert [drive["is_read_only"] for drive in made["drives"]] == [True, False]
    assert "quiet loglevel=3" in made["boot-source"]["boot_args"]
    assert made["boot-source"]["boot_args"].endswith(" a=b")
    # What takes the place of Cmd is in an initramfs of its own, which is gone with the directory.
    assert made["boot-source"]["initrd_path"].endswith("/initrd")
    assert not Path(asked[5]).parent.exists()


def test_cloud_hypervisor_is_asked_for_the_same(disk: Path) -> None:
    install(disk.parent, "cloud-hypervisor", SAYS)
    booted(disk, options(disk, "cloud-hypervisor", memory=1 << 30, vcpus=2))
    asked = argv(disk.parent)
    assert asked[asked.index("--cpus") + 1 : asked.index("--disk")] == ["boot=2", "--memory", "size=1024M"]
    assert asked[asked.index("--disk") + 1].endswith("web.erofs,readonly=on")
    assert asked[-2] == "--api-socket"
    assert asked[-1].startswith("path=/")


# Answers one request on the socket that it is given, and ends as a guest does that was asked to.
_SERVES = """
import socket, sys
place = sys.argv[1].removeprefix("path=")
server = socket.socket(socket.AF_UNIX)
server.bind(place)
server.listen()
print("hello", flush=True)
connection, _ = server.accept()
open(sys.argv[2], "wb").write(connection.recv(65536))
connection.sendall(sys.argv[3].encode() + b"\\r\\n\\r\\n")
print("rootfs-builder init: the process ended with status 143")
"""


def serving(disk: Path, vmm: str, answer: str) -> tuple[Booted, bytes]:
    """Send SIGTERM once the guest says something; return how it ended, and what the program in its place was asked."""
    place = disk.parent
    (place / "serve.py").write_text(_SERVES)
    found = {"firecracker": "$4", "cloud-hypervisor": "$last"}[vmm]
    install(place, vmm, f'for last; do :; done\nexec python3 {place}/serve.py "{found}" {place}/asked "{answer}"')
    out = os.memfd_create("out")

    over = threading.Event()

    def end() -> None:
        while not over.wait(0.02):
            if b"hello" in os.pread(out, 100, 0):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=end)
    thread.start()
    try:
        return boot(disk, options(disk, vmm, timeout=60), (0, out, 2)), (place / "asked").read_bytes()
    finally:
        over.set()
        thread.join()
        os.close(out)


ASKS = {
    "firecracker": b'PUT /actions HTTP/1.1\r\n|\r\n\r\n{"action_type": "SendCtrlAltDel"}',
    "cloud-hypervisor": b"PUT /api/v1/vm.power-button HTTP/1.1\r\n|Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("vmm", RUNNERS)
def test_sigterm_asks_the_guest_to_end(disk: Path, vmm: str) -> None:
    ended, asked = serving(disk, vmm, "HTTP/1.1 204 No Content")
    assert ended.status == 143
    begins, ends = ASKS[vmm].split(b"|")
    assert asked.startswith(begins)
    assert asked.endswith(ends)


@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_guest_that_cannot_be_asked_is_ended(disk: Path, vmm: str) -> None:
    with pytest.raises(GuestFailed, match=r"could not ask it to end: it answered HTTP/1\.1 400 Bad Request"):
        serving(disk, vmm, "HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_vmm_without_room_says_so(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, "echo 'Cannot create it: No space left on device (os error 28)' >&2; exit 1")
    with pytest.raises(OutputError, match=f"^{vmm}: No space left on device; free space, or choose another TMPDIR$"):
        booted(disk, options(disk, vmm))


@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_vmm_that_is_not_there_is_named_with_where_to_get_it(disk: Path, vmm: str) -> None:
    program = RUNNERS[vmm].program
    with pytest.raises(MissingRequirement) as refused:
        booted(disk, options(disk, vmm))
    assert str(refused.value).startswith(f"{program} is not installed; get it from https://github.com/{program}")
    assert refused.value.exit_status == 4


@pytest.mark.parametrize("vmm", RUNNERS)
def test_without_kvm_it_says_so(disk: Path, vmm: str) -> None:
    install(disk.parent, vmm, "exit 1")
    (disk.parent / "kvm").rename(disk.parent / "kernel")
    said = BootOptions(vmm=vmm, kernel=disk.parent / "kernel", initrd=disk.parent / "kernel")
    with pytest.raises(MissingRequirement, match=r"needs .*/kvm, which cannot be opened: No such file or directory"):
        booted(disk, said)


@pytest.mark.parametrize("vmm", RUNNERS)
def test_what_it_cannot_do_is_refused(disk: Path, vmm: str) -> None:
    with pytest.raises(UsageError, match="--port needs a network of root's"):
        booted(disk, options(disk, vmm, forwards=(Forward(1, 1),)))
    with pytest.raises(UsageError, match="--machine is for QEMU"):
        booted(disk, options(disk, vmm, machine="q35"))


@pytest.mark.heavy
@pytest.mark.parametrize("vmm", RUNNERS)
def test_a_command_that_is_only_shown_does_the_same_in_a_shell(disk: Path, vmm: str) -> None:
    place = disk.parent
    install(place, vmm, f"cat > {place}/stdin")
    shown = console_command(disk, options(disk, vmm, args=("a b",)))
    assert shlex.split(shown)[0] == RUNNERS[vmm].program
    subprocess.run(["sh", "-c", shown], check=True, stdin=subprocess.DEVNULL)
    told = " ".join(argv(place)) + (place / "stdin").read_text()
    assert "rb.cmd=a%20b" in told
    assert "web.erofs" in told
    if vmm == "firecracker":
        validate(json.loads((place / "stdin").read_text()), "firecracker")
