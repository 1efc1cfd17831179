"""From Python, a disk tells how it is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, BuildResult, build
from builder.errors import UsageError
from builder.guest.options import GuestOptions
from builder.vm.machine import MachineOptions
from builder.vm.options import VmConfig, VmOptions

FILES = {"firecracker": "fc.json", "cloud-hypervisor": "ch.json", "qemu": "qemu.sh"}


@pytest.fixture
def result(tmp_path: Path) -> BuildResult:
    layout(tmp_path / "image", Spec((tar(file("a", b"", mode=0o755)),), config={"Entrypoint": ["/a"]}))
    machine = MachineOptions(kernel=tmp_path / "vmlinux", memory=512 << 20, vcpus=2, append=("quiet",))
    configs = [VmConfig(vmm, tmp_path / name) for vmm, name in FILES.items()]
    configs.append(VmConfig("cloud-hypervisor", tmp_path / "ch.sh"))
    options = BuildOptions(guest=GuestOptions(init="auto"), vm=VmOptions(tuple(configs), machine))
    return build(f"oci:{tmp_path}/image", tmp_path / "web.ext4", options)


def test_it_says_what_the_build_writes(result: BuildResult, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"

    def written(name: str) -> str:
        return (tmp_path / name).read_text()

    assert result.firecracker(kernel, memory=512 << 20, vcpus=2, append=("quiet",)) == json.loads(written("fc.json"))
    made = result.cloud_hypervisor(str(kernel), memory=512 << 20, vcpus=2, append=("quiet",))
    assert made == json.loads(written("ch.json"))
    script = result.cloud_hypervisor_script(kernel, memory=512 << 20, vcpus=2, append=("quiet",))
    assert script == written("ch.sh")
    assert result.qemu(kernel=kernel, memory=512 << 20, vcpus=2, append=("quiet",)) == written("qemu.sh")


def test_it_is_for_the_folder_that_is_named(result: BuildResult, tmp_path: Path) -> None:
    made = result.firecracker(tmp_path / "vmlinux", folder=tmp_path / "vm", initrd=tmp_path / "initrd")
    assert made["drives"][0]["path_on_host"] == "../web.ext4"
    assert made["boot-source"]["initrd_path"] == "../initrd"


def test_what_cannot_be_is_refused(result: BuildResult) -> None:
    with pytest.raises(UsageError, match="32 processors at most"):
        result.firecracker("vmlinux", vcpus=33)
