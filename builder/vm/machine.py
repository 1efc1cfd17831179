"""What a machine is to be made of, before any VMM's words for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from builder.disk.verity import Verity
from builder.errors import UsageError
from builder.form import COUNT, FILE, SIZE, SWITCH, TEXT
from builder.guest.kernel_line import INIT, ROOT_DISK, kernel_line, root_words
from builder.option import MACHINE, option

# How Linux calls the second disk.
DATA = "/dev/vdb"


@dataclass(frozen=True, slots=True)
class Root:
    """A disk as the root of a machine: where it is, its format, and the architecture of its image (Go's name of it).

    `init` says whether init is in it; an `initrd` comes with it; `verity` is its hash tree.
    """

    disk: Path
    format: str
    architecture: str
    init: bool
    initrd: Path | None = None
    verity: Verity | None = None


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """What a machine has besides its root: `memory` in bytes; `append` are further words for its kernel.

    `data` is a disk that keeps what the guest writes to a read-only root; with `writable` it writes to the root itself.
    """

    kernel: Path | None = option(None, FILE, MACHINE, "The kernel that the machine boots.")
    memory: int = option(256 << 20, SIZE, MACHINE, "Memory of the machine.")
    vcpus: int = option(1, COUNT, MACHINE, "Processors of the machine.")
    data: Path | None = option(
        None, FILE, MACHINE, "An ext4 disk that keeps what the guest writes to a read-only root."
    )
    writable: bool = option(False, SWITCH, MACHINE, "Let the guest write to the disk; else it stays as it is.")
    append: tuple[str, ...] = option((), TEXT, MACHINE, "Words for the kernel's command line.", repeats=True)

    def check(self, root: Root) -> None:
        """Raise UsageError for a machine that no VMM could make."""
        if self.memory < 1 << 20 or self.memory % (1 << 20):
            raise UsageError(f"a memory of {self.memory} bytes is no whole number of MiB; write it as 256M or 2G")
        if self.writable and root.format == "erofs":
            raise UsageError("an erofs is never written to: leave out --writable, or build an ext4")
        if self.writable and root.verity:
            raise UsageError("nothing is ever written to a disk with --verity: leave out --writable, or --verity")
        if self.data and not (root.init or root.initrd):
            raise UsageError("--data is for init, which joins it to the root: leave out --init none, or --data")
        if self.writable and self.data:
            raise UsageError("--data keeps what is written to a read-only root: leave out --writable, or --data")

    def line(self, root: Root, console: str, words: tuple[str, ...]) -> str:
        """Return the kernel's command line, with `words` of the VMM's. Raises UsageError for one that is too long."""
        own = [f"console={console}", *words]
        table = root.verity.table(ROOT_DISK) if root.verity else None
        own += root_words(root.format, self.writable, INIT if root.init else None, table)
        own += [f"rb.data={DATA}"] if self.data else []
        return kernel_line(own, self.append)

    def disks(self, root: Root) -> list[tuple[Path, bool]]:
        """List the disks in the order in which they are attached, each with whether it may be written to."""
        return [(root.disk, self.writable), *([(self.data, True)] if self.data else [])]


def path_from(path: Path, folder: Path) -> str:
    """Name a file for who is in `folder`; links on the way are followed, but not the file's own."""
    place = os.path.join(os.path.realpath(path.parent), path.name)
    return os.path.relpath(place, os.path.realpath(folder))
