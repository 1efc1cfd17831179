"""The VMMs that a configuration can be for."""

from __future__ import annotations

from collections.abc import Mapping

from builder.vm.cloud_hypervisor import CLOUD_HYPERVISOR
from builder.vm.firecracker import FIRECRACKER
from builder.vm.qemu_script import QEMU
from builder.vm.vmm import Vmm

VMMS: Mapping[str, Vmm] = {
    "firecracker": FIRECRACKER,
    "qemu": QEMU,
    "cloud-hypervisor": CLOUD_HYPERVISOR,
}
