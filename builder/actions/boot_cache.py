"""What one boot keeps for the next: initramfs, and whether KVM runs guests here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.actions.booting import BootOptions
from builder.files.home import home_directory
from builder.files.workspace import sweep_directory
from builder.guest.initramfs import quick_initramfs
from builder.guest.modules import MAPPER
from builder.guest.program import init_program
from builder.output.failures import failures_named
from builder.output.publish import write_atomically
from builder.vm.kvm import kvm_works
from builder.vm.qemu import Guest

# Words with which a kernel takes no module without its signature.
_INSIST = ("module.sig_enforce", "lockdown=")

_WORKS = b"works"

# What to do where there is no room for files that last as long as a boot.
TEMPORARY = "choose another TMPDIR"


def boot_cache(stack: ExitStack) -> Path:
    """Tell where initramfs are kept: $XDG_CACHE_HOME/rootfs-builder, or else a directory that goes when `stack` ends.

    What a killed boot left there is removed. Raises what `sweep_directory` raises.
    """
    named, home = os.environ.get("XDG_CACHE_HOME"), home_directory()
    if named or home:
        place = Path(named or f"{home}/.cache") / "rootfs-builder"
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.R_OK | os.W_OK | os.X_OK):
            # To keep something new would do this, too, but most boots have nothing new to keep.
            sweep_directory(place)
            return place
    return temporary(stack)


def temporary(stack: ExitStack) -> Path:
    """Make a directory that is there until `stack` ends. Raises OutputError."""
    with failures_named(advice=TEMPORARY):
        return Path(stack.enter_context(TemporaryDirectory(prefix="rootfs-builder-")))


def boot_initramfs(
    architecture: str,
    drivers: Sequence[str],
    format_: str,
    options: BootOptions,
    line: str,
    modules: Path | None,
    cache: Path,
) -> Path:
    """Make the initramfs for such a boot, or take the one that an earlier boot made of the same."""
    init = init_program(architecture)
    overlay = [] if options.writable and format_ != "erofs" else ["overlay"]
    data = ["ext4"] if options.data else []
    mapper = MAPPER if "dm-mod.create=" in line else ()
    wanted = (*drivers, format_, *data, *overlay, *mapper)
    signed = any(word in line for word in _INSIST)
    # depmod writes modules.dep whenever modules come or go.
    changing = [path for path in (modules, modules and modules / "modules.dep") if path and path.exists()]
    facts = [
        *wanted,
        str(signed),
        os.path.realpath(modules or ""),
        *(str(path.stat().st_mtime_ns) for path in changing),
    ]
    name = hashlib.sha256(init + "\n".join(facts).encode()).hexdigest()
    kept = cache / f"initramfs-{name}"
    if not kept.exists():
        _keep(kept, quick_initramfs(init, modules, wanted, signed))
    return kept


def kvm_runs(guest: Guest, cache: Path) -> bool:
    """Say whether KVM runs guests of this kind, as tried earlier since this machine started, or else now."""
    started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    kernel = guest.kernel.stat()
    record = cache / f"kvm-{guest.machine.architecture}-{started}-{kernel.st_ino}-{kernel.st_mtime_ns}"
    with suppress(FileNotFoundError):
        return record.read_bytes() == _WORKS
    with failures_named(advice=TEMPORARY):
        works = kvm_works(guest)
    # Whole or not at all: half a word would be remembered as a failure.
    _keep(record, _WORKS if works else b"fails")
    return works


def _keep(path: Path, data: bytes) -> None:
    with failures_named(path, "choose another XDG_CACHE_HOME"):
        write_atomically(path, data)
