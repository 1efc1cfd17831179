"""What a boot that failed was missing, where QEMU's or the guest's last words tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from builder.actions.booting import GuestFailed
from builder.errors import BuilderError, OutputError, ToolFailed, UsageError

# How QEMU says that it cannot listen.
_PORT_TAKEN = re.compile(r"Could not set up host forwarding rule '\w+:[0-9.]*:(\d+)-")
# What the console says last where that is missing: init on the disk, or a driver.
_NO_INIT = "/.rootfs-builder/init: No such file or directory"
_NO_DRIVER = (
    *("Unable to mount root fs", "it needs the driver"),
    *(f"/dev/vda: {why}" for why in ("No such file or directory", "No such device")),
)


class NoInit(BuilderError):
    """A disk was built without init, or with another than the kernel is told of."""

    def __init__(self, disk: Path) -> None:
        super().__init__(
            f"{disk}: there is no /.rootfs-builder/init; build it with --init auto, "
            "or name its own init with --append init=PATH"
        )


class PortTaken(BuilderError):
    """A port of this machine cannot be had."""

    def __init__(self, port: str) -> None:
        super().__init__(f"port {port} of this machine is in use, or not for this user; take another with --port")


def of_qemu(failed: ToolFailed) -> BuilderError:
    """Say of a QEMU that did not run what was wrong, where it is known."""
    taken = _PORT_TAKEN.search(failed.stderr)
    return failed if taken is None else PortTaken(taken[1])


def of_output(error: OSError) -> BuilderError:
    """Say that standard output took no more of what the process printed."""
    return OutputError("standard output", f"{error.strerror}; send it elsewhere")


def of_guest(disk: Path, last_words: Sequence[str], kernel: Path | None) -> BuilderError:
    """Say of a guest that ended early what was missing; `kernel` is one that was named without its modules."""
    said = " / ".join(last_words)
    if _NO_INIT in said:
        return NoInit(disk)
    if kernel is not None and any(words in said for words in _NO_DRIVER):
        return UsageError(
            f"{kernel}: the drivers of the disk and of init's ports are not in this kernel; "
            "name the directory of its modules with --modules"
        )
    return GuestFailed(disk, last_words)
