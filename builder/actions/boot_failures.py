"""What a boot that failed was missing, where QEMU's or the guest's last words tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from builder.actions.booting import BootOptions, GuestFailed
from builder.errors import BuilderError, OutputError, ToolFailed, UsageError
from builder.vm.machine import DATA

# How QEMU says that it cannot listen.
_PORT_TAKEN = re.compile(r"Could not set up host forwarding rule '\w+:[0-9.]*:(\d+)-")
# How it says that another process has locked a disk.
_IN_USE = re.compile(r"Is another process using the image \[(?:\./)?(.*)\]\?")
# How it says that a file is no kernel: of an x86 one too old to have a header, of a vmlinux, and of others.
_NO_KERNEL = re.compile("linux kernel too old|without PVH ELF Note|could not load kernel|error loading kernel", re.I)
# How it says that it was told to end, which it takes for no failure.
_ENDED = re.compile("terminating on signal .*")
# What the console says last where that is missing: init on the disk, or a driver.
_NO_INIT = "/.rootfs-builder/init: No such file or directory"
_FOREIGN_INIT = "/.rootfs-builder/init: Exec format error"
# Init could not make the folders for what the guest writes; this is what Linux says of them then.
_NO_ROOM = "init: rb.data: No such file or directory;"
_OTHER_MODULES = "cannot be loaded: Exec format error"
# What init says of a disk that is not as it was made: an erofs that was cut is mounted all the same.
_DAMAGED = re.compile(
    rf"init: (?:/dev/(?:vda|dm-0)|({DATA})|/\.rootfs-builder/init): "
    "(?:it is damaged|Bad message|Invalid argument|I/O error);"
)
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


class DiskDamaged(BuilderError):
    """A guest's kernel does not take a disk for the file system that it was."""

    def __init__(self, disk: Path, advice: str) -> None:
        reason = "it is damaged, or cut off, or has what that kernel does not know"
        super().__init__(f"{disk}: the guest's kernel cannot read it: {reason}; {advice}")


class MachineEnded(BuilderError):
    """Somebody ended QEMU while its guest was at work; `said` is what it said of that."""

    def __init__(self, disk: Path, said: str) -> None:
        super().__init__(f"{disk}: QEMU was ended before the guest's process had: {said}; boot it again")


class ForeignInit(BuilderError):
    """A disk is of an image for another architecture than the machine's."""

    def __init__(self, disk: Path) -> None:
        super().__init__(
            f"{disk}: it is for another architecture than this machine; boot it with --machine virt (arm64) or "
            "microvm (amd64) and a --kernel of its own"
        )


class PortTaken(BuilderError):
    """A port of this machine cannot be had."""

    def __init__(self, port: str) -> None:
        super().__init__(f"port {port} of this machine is in use, or not for this user; take another with --port")


class DiskInUse(BuilderError):
    """A disk belongs to another machine that writes to it, or that this one would write to."""

    def __init__(self, disk: str) -> None:
        super().__init__(f"{disk}: another machine has it, and one of them writes to it; give each its own")


def of_qemu(failed: ToolFailed) -> BuilderError:
    """Say of a QEMU that did not run what was wrong, where it is known."""
    if taken := _PORT_TAKEN.search(failed.stderr):
        return PortTaken(taken[1])
    if used := _IN_USE.search(failed.stderr):
        return DiskInUse(used[1])
    if _NO_KERNEL.search(failed.stderr) and "-kernel" in failed.argv:
        kernel = failed.argv[failed.argv.index("-kernel") + 1].removeprefix("./")
        return UsageError(f"{kernel}: is no kernel that {failed.argv[0]} can boot; name another with --kernel")
    return failed


def of_output(error: OSError) -> BuilderError:
    """Say that standard output took no more of what the process printed."""
    return OutputError("standard output", f"{error.strerror}; send it elsewhere")


def of_guest(disk: Path, last_words: Sequence[str], options: BootOptions, complaints: str) -> BuilderError:
    """Say of a guest that ended early what was missing; `complaints` are QEMU's own."""
    if ended := _ENDED.search(complaints):
        return MachineEnded(disk, ended[0])
    said = " / ".join(last_words)
    if _NO_INIT in said:
        return NoInit(disk)
    if _FOREIGN_INIT in said:
        return ForeignInit(disk)
    if _OTHER_MODULES in said:
        return UsageError("the modules are of another kernel than the one to boot; name its own with --modules")
    if damaged := _DAMAGED.search(said):
        if damaged[1] and options.data:
            return DiskDamaged(options.data, "mend it with e2fsck, or make another with rootfs-builder blank")
        return DiskDamaged(disk, "ask rootfs-builder verify, and build it again")
    if options.data and _NO_ROOM in said:
        return UsageError(f"{options.data}: has no room for what the guest writes; make one with rootfs-builder blank")
    kernel = None if options.modules or options.initrd else options.kernel
    if kernel is not None and any(words in said for words in _NO_DRIVER):
        return UsageError(
            f"{kernel}: the drivers of the disk and of init's ports are not in this kernel; "
            "name the directory of its modules with --modules"
        )
    return GuestFailed(disk, last_words)
