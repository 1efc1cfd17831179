"""Turn a container image into the root disk of a microVM.

from builder import BuildOptions, DiskOptions, build
result = build("oci:layout:latest", "rootfs.ext4", BuildOptions(disk=DiskOptions(free=64 << 20)))
"""

TYPE_CHECKING = False  # as in typing, whose import takes longer than all else here
if TYPE_CHECKING:
    from builder.actions.blank import BlankResult, blank
    from builder.actions.build import build
    from builder.actions.pull_disk import PulledDisk, pull_disk
    from builder.actions.push import Pushed, push
    from builder.actions.result import BuildResult
    from builder.actions.unpack import unpack
    from builder.actions.verification import Verification
    from builder.actions.verify import verify
    from builder.additions.addition import AddedTar, Addition, Removal
    from builder.decoded.options import CacheOptions
    from builder.disk.filesystem import DiskOptions
    from builder.errors import BuilderError
    from builder.guest.facts import GuestFacts
    from builder.guest.options import GuestOptions
    from builder.image.platform import Platform
    from builder.limits import Limits
    from builder.options import BuildOptions
    from builder.output.directory import Unrestored
    from builder.registry import RegistryAccess
    from builder.sources.access import Access
    from builder.vm.machine import MachineOptions
    from builder.vm.options import VmConfig, VmOptions

__all__ = [
    "Access",
    "AddedTar",
    "Addition",
    "BlankResult",
    "BuildOptions",
    "BuildResult",
    "BuilderError",
    "CacheOptions",
    "DiskOptions",
    "GuestFacts",
    "GuestOptions",
    "Limits",
    "MachineOptions",
    "Platform",
    "PulledDisk",
    "Pushed",
    "RegistryAccess",
    "Removal",
    "Unrestored",
    "Verification",
    "VmConfig",
    "VmOptions",
    "blank",
    "build",
    "pull_disk",
    "push",
    "unpack",
    "verify",
]

_PLACES = {
    "Access": "builder.sources.access",
    "AddedTar": "builder.additions.addition",
    "Addition": "builder.additions.addition",
    "BlankResult": "builder.actions.blank",
    "BuildOptions": "builder.options",
    "BuildResult": "builder.actions.result",
    "BuilderError": "builder.errors",
    "CacheOptions": "builder.decoded.options",
    "DiskOptions": "builder.disk.filesystem",
    "GuestFacts": "builder.guest.facts",
    "GuestOptions": "builder.guest.options",
    "Limits": "builder.limits",
    "MachineOptions": "builder.vm.machine",
    "Platform": "builder.image.platform",
    "PulledDisk": "builder.actions.pull_disk",
    "Pushed": "builder.actions.push",
    "RegistryAccess": "builder.registry",
    "Removal": "builder.additions.addition",
    "Unrestored": "builder.output.directory",
    "Verification": "builder.actions.verification",
    "VmConfig": "builder.vm.options",
    "VmOptions": "builder.vm.options",
    "blank": "builder.actions.blank",
    "build": "builder.actions.build",
    "pull_disk": "builder.actions.pull_disk",
    "push": "builder.actions.push",
    "unpack": "builder.actions.unpack",
    "verify": "builder.actions.verify",
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is (PEP 562): the command has to be ready for Ctrl-C before that."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    # Here, because it imports something itself.
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Name what can be imported, as whoever explores the package expects it."""
    return __all__
