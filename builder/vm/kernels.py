"""Kernels of this machine, for guests: the newest that can be read, with its modules."""

from __future__ import annotations

import os
import re
from pathlib import Path

from builder.errors import MissingRequirement

_MODULES = Path("/lib/modules")
_INSTALL = "linux-image-cloud-amd64 (Debian), kernel-core (Fedora) or linux-virt (Alpine)"


def newest_kernel(boot: Path = Path("/boot"), modules: Path = _MODULES) -> tuple[Path, Path]:
    """Return the newest /boot/vmlinuz-VERSION and its /lib/modules/VERSION.

    Alpine's /boot/vmlinuz-virt goes with the newest /lib/modules/VERSION-virt.
    Raises MissingRequirement, which names what to install or to allow.
    """
    whole = [(path, tree) for path in boot.glob("vmlinuz-*") if (tree := _modules_of(path, modules)) is not None]
    whole.sort(key=lambda found: _version(found[1].name), reverse=True)
    usable = [(path, tree) for path, tree in whole if os.access(path, os.R_OK)]
    if usable:
        return usable[0]
    if whole:
        path = whole[0][0]
        raise MissingRequirement(
            f"{path} is not for this user to read, as Ubuntu has it; "
            f"allow it with sudo chmod a+r {path}, or name another kernel with --kernel"
        )
    raise MissingRequirement(
        f"{boot} has none of the kernels to boot with; install {_INSTALL}, or name one with --kernel"
    )


def modules_of(kernel: Path) -> Path | None:
    """Return the modules of a kernel that is called vmlinuz-VERSION, where they are installed."""
    return _modules_of(kernel, _MODULES) if kernel.name.startswith("vmlinuz-") else None


def is_bzimage(kernel: Path) -> bool:
    """Tell a compressed kernel for x86 by its signature (the kernel's arch/x86/boot.rst). Raises OSError."""
    with kernel.open("rb") as file:
        return file.read(0x206)[0x202:] == b"HdrS"


def _modules_of(kernel: Path, modules: Path) -> Path | None:
    version = kernel.name.removeprefix("vmlinuz-")
    if (modules / version).is_dir():
        return modules / version
    flavours = sorted(modules.glob(f"*-{version}"), key=lambda path: _version(path.name))
    return flavours[-1] if flavours else None


def _version(name: str) -> list[tuple[int, str]]:
    """Compare numbers as numbers: 6.10 is newer than 6.9."""
    return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|(\D+)", name)]
