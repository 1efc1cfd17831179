"""What transports need to know besides the reference: what the user says, and what the build provides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from builder.events import Listener, ignore
from builder.form import FILE, PLACE, SWITCH
from builder.limits import Limits
from builder.option import REGISTRY, option
from builder.registry import RegistryAccess
from builder.sources.shared import Shared

STORE_VARIABLE = "ROOTFS_BUILDER_STORE"


@dataclass(frozen=True, slots=True)
class Access:
    """What the user says about how an image may be reached and what may be kept of it.

    `store` is the root of the image store, a path or a PyFilesystem URL, by default the user's own; `keep` says whether
    what comes over a network is kept there; `verify_key` is a file with the public key without whose signature no image
    or disk is taken; `registry` how registries are spoken to.
    """

    store: str | None = option(
        None, PLACE, REGISTRY, "Root of the image store; by default the user's.", variable=STORE_VARIABLE
    )
    keep: bool = option(True, SWITCH, REGISTRY, "Keep nothing that a registry sends.", name="no-store")
    verify_key: Path | None = option(None, FILE, REGISTRY, "Refuse what has no cosign signature by this public key.")
    registry: RegistryAccess = field(default_factory=RegistryAccess)

    def inputs(self) -> list[str]:
        """Name the files that are read for this, which no output may be written over."""
        return [str(path) for path in (self.verify_key, self.registry.authfile) if path]


@dataclass(frozen=True, slots=True)
class Means:
    """What whoever opens an image provides.

    `scratch` is an existing directory for temporary files, by default the system's; `listen` is told what the user
    should know; `limits` bound what an archive that is compressed as a whole may unpack to; `record` says whether an
    image that is kept whole is listed in the store under its name; `shared` holds what several images have in common.
    """

    scratch: Path | None = None
    listen: Listener = ignore
    limits: Limits = field(default_factory=Limits)
    record: bool = True
    shared: Shared | None = None
