"""QEMU's script: what it asks QEMU for."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.machines import FULL, LEAST, root
from support.scripts import ODD_NAMES, Asked, run_script, write_script

from builder.errors import UsageError
from builder.vm.machine import MachineOptions, Root
from builder.vm.qemu import MACHINES, NETWORK, Guest, qemu_argv
from builder.vm.qemu_script import QEMU


def asked(place: Path, disk: Root, machine: MachineOptions = LEAST, **environment: str) -> Asked:
    script = write_script("qemu", disk, machine, place / "run")
    done, found = run_script([script], place, {"ACCEL": "tcg", **environment})
    assert (done.returncode, done.stderr) == (0, "")
    assert found is not None
    return found


def test_it_asks_for_what_boot_asks_for(tmp_path: Path) -> None:
    """Their facts are the same; boot has other streams."""
    disk = root(tmp_path / "web.ext4", initrd=tmp_path / "initrd")
    machine = replace(FULL, kernel=tmp_path / "vmlinux", data=tmp_path / "data.ext4", append=())
    found = asked(tmp_path, disk, machine)
    guest = Guest(
        machine=MACHINES["q35"],
        kernel=Path("vmlinux"),
        initrd=Path("initrd"),
        line=found.values("-append")[0],
        disks=[(Path("web.ext4"), False), (Path("data.ext4"), True)],
        memory=1 << 30,
        vcpus=4,
        network=True,
    )
    assert found.argv == qemu_argv(guest, {})[1:]
    assert found.values("-append")[0].split()[0] == "console=ttyS0"


def test_a_network_of_the_users_own_counts_and_not_qemus(tmp_path: Path) -> None:
    own = "ip=192.0.2.2::192.0.2.1:255.255.255.0::eth1:off"
    (line,) = asked(tmp_path, root(tmp_path / "d"), replace(LEAST, append=(own,))).values("-append")
    assert [word for word in line.split() if word.startswith("ip=")] == [NETWORK, own]


def test_a_line_that_linux_would_cut_with_the_network_on_it_is_refused(tmp_path: Path) -> None:
    disk = root(tmp_path / "d")
    room = 2047 - len(asked(tmp_path, disk).values("-append")[0]) - 1
    assert len(asked(tmp_path, disk, replace(LEAST, append=("x" * room,))).values("-append")[0]) == 2047
    with pytest.raises(UsageError, match="has 2048 bytes, and kernels take 2047"):
        QEMU.configure(disk, replace(LEAST, append=("x" * (room + 1),)), tmp_path / "run")


def test_arm64_is_another_machine(tmp_path: Path) -> None:
    found = asked(tmp_path, root(tmp_path / "web.ext4", "arm64"))
    assert found.values("-M") == ["virt,accel=tcg"]
    assert found.values("-append")[0].startswith("console=ttyAMA0 panic=-1 root=/dev/vda ")


def test_what_is_not_writable_is_not_written_to(tmp_path: Path) -> None:
    drives = asked(tmp_path, root(tmp_path / "web.ext4"), replace(LEAST, data=tmp_path / "d")).values("-drive")
    assert [drive.endswith(",snapshot=on") for drive in drives] == [True, False]
    (drive,) = asked(tmp_path, root(tmp_path / "web.ext4"), replace(LEAST, writable=True)).values("-drive")
    assert drive == "id=disk0,file=./web.ext4,format=raw,if=none,werror=report"


def test_linux_would_wait_for_ever_for_a_second_processor_of_an_emulated_microvm(tmp_path: Path) -> None:
    for vcpus, machine in ((1, "microvm,accel=tcg"), (2, "q35,accel=tcg")):
        found = asked(tmp_path, root(tmp_path / "d"), replace(LEAST, vcpus=vcpus))
        assert (found.values("-M"), found.values("-smp")) == ([machine], [str(vcpus)])
    several = Guest(MACHINES["microvm"], Path("k"), None, "", (), 1 << 28, vcpus=2)
    assert Asked(tmp_path, qemu_argv(several, {})).values("-smp") == ["1"]
    assert Asked(tmp_path, qemu_argv(replace(several, kvm=True), {})).values("-smp") == ["2"]


def test_linux_would_panic_that_counts_the_ticks_of_an_emulated_q35_on_a_busy_machine(tmp_path: Path) -> None:
    for vcpus, told in ((1, False), (2, True)):
        (line,) = asked(tmp_path, root(tmp_path / "d"), replace(LEAST, vcpus=vcpus)).values("-append")
        assert ("no_timer_check" in line.split()) == told


def test_accel_says_how(tmp_path: Path) -> None:
    assert asked(tmp_path, root(tmp_path / "d"), ACCEL="kvm").values("-M") == ["microvm,accel=kvm"]
    assert asked(tmp_path, root(tmp_path / "d"), ACCEL="kvm").values("-cpu") == ["host"]
    assert asked(tmp_path, root(tmp_path / "d"), ACCEL="tcg").values("-cpu") == ["max,-erms,-fsrm"]
    script = write_script("qemu", root(tmp_path / "d"), LEAST, tmp_path / "run")
    done, found = run_script([script], tmp_path, {"ACCEL": "xen"})
    assert (done.returncode, found) == (2, None)
    assert done.stderr == f"{script}: ACCEL is kvm or tcg, and not xen\n"


def test_another_architecture_is_never_run_with_kvm(tmp_path: Path) -> None:
    other = "arm64" if subprocess.run(["uname", "-m"], capture_output=True).stdout == b"x86_64\n" else "amd64"
    (found,) = asked(tmp_path, root(tmp_path / "d", other), ACCEL="").values("-M")
    assert found.endswith(",accel=tcg")


def test_a_port_is_forwarded(tmp_path: Path) -> None:
    (plain,) = asked(tmp_path, root(tmp_path / "d")).values("-netdev")
    (forwarded,) = asked(tmp_path, root(tmp_path / "d"), FORWARD="8080:80").values("-netdev")
    assert plain == "user,id=network"
    assert forwarded == "user,id=network,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_one_value_of_a_drive(tmp_path: Path, name: str) -> None:
    (drive,) = asked(tmp_path, root(tmp_path / name)).values("-drive")
    assert drive == f"id=disk0,file=./{name.replace(',', ',,')},format=raw,if=none,werror=report,snapshot=on"
