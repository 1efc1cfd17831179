"""Configurations of machines are outputs of a build: written with the disk, in order, or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.machines import validate
from support.tars import file, tar

from builder import BuildOptions, build
from builder.batch.entries import InvalidList
from builder.batch.images import parse_list
from builder.errors import OutputError, UsageError
from builder.events import Event, Notice
from builder.guest.options import GuestOptions
from builder.image.platform import Platform
from builder.vm.machine import MachineOptions
from builder.vm.options import VmConfig, VmOptions
from builder.vm.vmms import VMMS

KERNEL = MachineOptions(kernel=Path("vmlinux"))


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "image", Spec((tar(file("a", b"content", mode=0o755)),), config={"Entrypoint": ["/a"]}))
    return "oci:image"


def options(*configs: VmConfig, machine: MachineOptions = KERNEL) -> BuildOptions:
    return BuildOptions(guest=GuestOptions(init="auto"), vm=VmOptions(configs, machine))


def everything() -> BuildOptions:
    return options(*(VmConfig(name, Path(f"{name}.out")) for name in VMMS))


def outputs() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


@pytest.mark.heavy
def test_each_vmm_gets_its_configuration_with_the_disk(image: str) -> None:
    build(image, "web.ext4", everything())
    made = outputs()
    assert sorted(made) == sorted(["web.ext4", *(f"{name}.out" for name in VMMS)])
    for name in VMMS:
        assert b"web.ext4" in made[f"{name}.out"]
        assert b"init=/.rootfs-builder/init" in made[f"{name}.out"]
    validate(json.loads(made["firecracker.out"]), "firecracker")


def test_the_same_build_leaves_them_and_another_machine_changes_them_alone(image: str) -> None:
    build(image, "web.ext4", replace(everything(), metadata_file=Path("m.json")))
    before = {path: path.stat().st_ino for path in Path().iterdir() if path.is_file()}
    assert not build(image, "web.ext4", replace(everything(), metadata_file=Path("m.json"))).built
    assert {path: path.stat().st_ino for path in before} == before
    larger = replace(everything(), vm=replace(everything().vm, machine=replace(KERNEL, memory=1 << 30)))
    assert not build(image, "web.ext4", replace(larger, metadata_file=Path("m.json"))).built
    changed = {str(path) for path in before if path.stat().st_ino != before[path]}
    assert changed == {f"{name}.out" for name in VMMS}


@pytest.mark.parametrize("vmm", VMMS)
def test_a_configuration_that_is_gone_comes_back(image: str, vmm: str) -> None:
    build(image, "web.ext4", everything())
    made = outputs()
    Path(f"{vmm}.out").unlink()
    build(image, "web.ext4", everything())
    assert outputs() == made


def test_two_outputs_of_one_name_are_refused(image: str) -> None:
    for config in (VmConfig("firecracker", Path("web.ext4")), VmConfig("firecracker", Path("m.json"))):
        with pytest.raises(UsageError, match="two outputs"):
            build(image, "web.ext4", replace(options(config), metadata_file=Path("m.json")))
    assert outputs() == {}


def test_a_place_that_cannot_be_written_is_refused_before_any_work(image: str) -> None:
    os.mkfifo("fifo")
    for place in ("none/vm.json", "fifo", "image"):
        with pytest.raises(OutputError):
            build(image, "web.ext4", options(VmConfig("firecracker", Path(place))))
    assert outputs() == {}


@pytest.mark.parametrize("vmm", VMMS)
def test_what_the_vmm_cannot_do_is_refused_before_any_work_and_says_of_which_file(image: str, vmm: str) -> None:
    with pytest.raises(UsageError, match=f"^--vm-config {vmm}=x: .* --kernel FILE$"):
        build(image, "web.ext4", options(VmConfig(vmm, Path("x")), machine=MachineOptions()))
    assert outputs() == {}


@pytest.mark.parametrize("said", [{"kernel": Path("k")}, {"memory": 1 << 20}, {"vcpus": 2}])
def test_what_is_said_of_a_machine_that_nobody_is_told_of_is_refused(image: str, said: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="are for --vm-config: add it, or leave them out"):
        build(image, "web.ext4", options(machine=MachineOptions(**said)))  # type: ignore[arg-type]


def test_a_link_is_followed_and_paths_are_from_where_the_file_really_is(image: str) -> None:
    Path("machines").mkdir()
    Path("vm.json").symlink_to("machines/vm.json")
    build(image, "web.ext4", options(VmConfig("firecracker", Path("vm.json"))))
    made = json.loads(Path("machines/vm.json").read_bytes())
    assert made["drives"][0]["path_on_host"] == "../web.ext4"
    assert made["boot-source"]["kernel_image_path"] == "../vmlinux"


def test_the_metadata_have_the_kernel_line_of_each_vmm_whether_or_not_one_is_configured(image: str) -> None:
    build(image, "web.ext4", BuildOptions(guest=GuestOptions(init="auto"), metadata_file=Path("m.json")))
    metadata = json.loads(Path("m.json").read_bytes())
    result = build(image, "web.ext4", replace(everything(), metadata_file=Path("m.json")))
    assert json.loads(Path("m.json").read_bytes()) == metadata
    assert metadata["kernelCommandLine"] == {name: vmm.line(result.root, KERNEL) for name, vmm in VMMS.items()}
    made = json.loads(Path("firecracker.out").read_bytes())
    assert metadata["kernelCommandLine"]["firecracker"] == made["boot-source"]["boot_args"]


def test_a_disk_for_no_machine_that_is_known_has_no_lines(image: str) -> None:
    layout(Path("image"), Spec((tar(file("a", b"")),), platform="linux/s390x"))
    said = BuildOptions(guest=GuestOptions(init="none"), metadata_file=Path("m.json"))
    build(image, "other.ext4", replace(said, platform=Platform("linux", "s390x")))
    assert json.loads(Path("m.json").read_bytes())["kernelCommandLine"] == {}


@pytest.mark.parametrize("said", [{"kernel": Path("web.ext4")}, {"kernel": Path("k"), "data": Path("./vm.json")}])
def test_what_the_machine_reads_is_not_written_over(image: str, said: dict[str, Path]) -> None:
    Path("web.ext4").write_bytes(b"")
    with pytest.raises(UsageError, match="is for the machine, and would be written over"):
        build(image, "web.ext4", options(VmConfig("qemu", Path("vm.json")), machine=MachineOptions(**said)))  # type: ignore[arg-type]
    assert outputs() == {"web.ext4": b""}


BZ_IMAGE = bytes(0x202) + b"HdrS" + bytes(100)
REMARKS = {
    "firecracker": ["vmlinux: is a compressed kernel; Firecracker up to 1.16 wants its vmlinux"],
    "qemu": [],
    "cloud-hypervisor": [],
}


@pytest.mark.parametrize("vmm", VMMS)
def test_what_will_be_in_the_way_of_the_machine_is_noticed(image: str, vmm: str) -> None:
    heard: list[Event] = []
    config = options(VmConfig(vmm, Path("vm")))

    def noticed() -> list[str]:
        heard.clear()
        build(image, "web.ext4", config, heard.append)
        return [event.text for event in heard if isinstance(event, Notice)]

    assert noticed() == ["vmlinux: is not there yet; the machine wants it"]
    Path("vmlinux").write_bytes(b"\x7fELF")
    assert noticed() == []
    Path("vmlinux").write_bytes(BZ_IMAGE)
    assert noticed() == REMARKS[vmm]


def test_a_script_may_be_run_by_who_may_read_it(image: str) -> None:
    before = os.umask(0o027)
    try:
        build(image, "web.ext4", options(VmConfig("qemu", Path("run")), VmConfig("firecracker", Path("vm.json"))))
    finally:
        os.umask(before)
    assert [Path(name).stat().st_mode & 0o777 for name in ("run", "vm.json")] == [0o750, 0o640]
    os.chmod("run", 0o640)
    build(image, "web.ext4", options(VmConfig("qemu", Path("run"))))
    assert Path("run").stat().st_mode & 0o111


def test_lists_have_machines_too_and_what_is_said_for_all_is_for_those_lines() -> None:
    said = BuildOptions(vm=VmOptions(machine=MachineOptions(kernel=Path("k"), memory=1 << 30, append=("quiet",))))
    text = "oci:a vm-config=firecracker=a.json vm-config=qemu=a.sh vcpus=2\noci:b\n"
    with_machine, without = parse_list(text, "list", Path("disks"), said)
    assert with_machine.options.vm == VmOptions(
        (VmConfig("firecracker", Path("a.json")), VmConfig("qemu", Path("a.sh"))),
        MachineOptions(kernel=Path("k"), memory=1 << 30, vcpus=2, append=("quiet",)),
    )
    assert without.options.vm == VmOptions(machine=MachineOptions(append=("quiet",)))


def test_two_lines_of_a_list_write_no_configuration_twice() -> None:
    text = "oci:a vm-config=qemu=run\noci:b vm-config=qemu=./run\n"
    with pytest.raises(InvalidList, match="line 2: writes run, and so does line 1; name another"):
        parse_list(text, "list", Path("disks"), BuildOptions())


@pytest.mark.parametrize(
    "said", [{"kernel": Path("")}, {"kernel": Path("fifo")}, {"kernel": Path("k"), "data": Path()}]
)
def test_what_no_machine_can_read_is_refused_without_waiting_for_it(image: str, said: dict[str, Path]) -> None:
    os.mkfifo("fifo")
    with pytest.raises(UsageError, match=r"is no file that a machine can read; name a file"):
        build(image, "web.ext4", options(VmConfig("firecracker", Path("vm")), machine=MachineOptions(**said)))  # type: ignore[arg-type]
    assert outputs().keys() <= {"fifo"}
