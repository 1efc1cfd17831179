"""Kernels of this machine, for guests: the newest that can be read, with its modules."""

from __future__ import annotations

import os
import re
from pathlib import Path

from builder.errors import MissingRequirement

_INSTALL = "linux-image-cloud-amd64 (Debian), kernel-core (Fedora) or linux-virt (Alpine)"


def newest_kernel(boot: Path = Path("/boot"), modules: Path = Path("/lib/modules")) -> tuple[Path, Path]:
    """Return the newest /boot/vmlinuz-VERSION and its /lib/modules/VERSION.

    Raises MissingRequirement, which names what to install.
    """
    kernels = sorted(boot.glob("vmlinuz-*"), key=lambda path: _version(path.name), reverse=True)
    usable = [(path, modules / path.name.removeprefix("vmlinuz-")) for path in kernels]
    usable = [(path, tree) for path, tree in usable if os.access(path, os.R_OK) and tree.is_dir()]
    if not usable:
        reason = "none that this user may read" if kernels else "none"
        raise MissingRequirement(
            f"{boot} has {reason} of the kernels to boot with; install {_INSTALL}, or name one with --kernel"
        )
    return usable[0]


def _version(name: str) -> list[tuple[int, str]]:
    """Compare numbers as numbers: 6.10 is newer than 6.9."""
    return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|(\D+)", name)]
