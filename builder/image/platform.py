"""Platforms: what an image runs on (OCI image-spec, image-index.md, "platform"), and which runs what.

Names are normalised as containerd does, so that users may write what `uname -m` or Debian say. An
architecture runs its own lower variants, never higher ones. It is never taken to run another architecture
(32-bit arm on arm64, 386 on amd64), though much hardware could: such a disk is a surprise, not a help.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Self

from builder.errors import UsageError
from builder.words import quoted

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
# Names that say their variant too: Debian's ports, and machines as `uname -m` calls them.
_ARM_NAMES = {"armhf": "v7", "armel": "v6", "armv5tel": "v5", "armv6l": "v6", "armv7l": "v7", "armv8l": "v8"}
# What a platform without a variant means; arm64 and amd64 are written without it, arm is written with it.
_BASELINES = {"amd64": (1, 0), "arm": (7, 0), "arm64": (8, 0)}
_EXACT = (1000, 0)

Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system, an architecture in Go's naming (`amd64`, `arm64`), and perhaps a variant (`v7`).

    As an image states it; compare `normalised()` values, or ask `accepts`.
    """

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `os/architecture[/variant]` and normalise it; raises UsageError."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+){1,2}", text):
            raise UsageError(
                f"platform {quoted(text, 200)}: write it as os/architecture or os/architecture/variant, "
                "such as linux/amd64 or linux/arm/v7"
            )
        return cls(*text.split("/")).normalised()

    @classmethod
    def host(cls) -> Self:
        """Give the platform of guests that this machine runs natively: linux on its own architecture."""
        return cls("linux", os.uname().machine).normalised()

    def normalised(self) -> Self:
        """Give the one spelling of this platform: x86_64 becomes amd64, arm64/v8 becomes arm64."""
        system = self.os.lower()
        architecture = _ARCHITECTURES.get(self.architecture.lower(), self.architecture.lower())
        variant = (self.variant or "").lower()
        if architecture in _ARM_NAMES:
            architecture, variant = "arm", _ARM_NAMES[architecture]
        if architecture in _BASELINES:
            if re.match(r"[0-9]", variant):
                variant = f"v{variant}"
            variant = variant.removesuffix(".0")
            if architecture == "arm":
                variant = variant or "v7"
            elif _level(architecture, variant) == _BASELINES[architecture]:
                variant = ""
        return type(self)("darwin" if system == "macos" else system, architecture, variant or None)

    def rank(self, offered: Platform) -> Level | None:
        """Say how well this platform runs an image for `offered`: higher is better, None is not at all."""
        wanted, offered = self.normalised(), offered.normalised()
        if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
            return None
        if wanted.variant == offered.variant:
            return _EXACT
        ours = _level(wanted.architecture, wanted.variant)
        theirs = _level(offered.architecture, offered.variant)
        if ours is None or theirs is None or theirs > ours:
            return None
        # Armv9.n has what Armv8.(n+5) has, and no more of the Armv8 extensions.
        if wanted.architecture == "arm64" and theirs[0] < ours[0] and theirs[1] > ours[1] + 5:
            return None
        return theirs

    def accepts(self, offered: Platform) -> bool:
        """Say whether this platform runs an image for `offered`: the same variant or a lower one."""
        return self.rank(offered) is not None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os or "unknown", self.architecture or "unknown", self.variant)))


def _level(architecture: str, variant: str | None) -> Level | None:
    """Place a variant such as `v8.2` in its architecture's order; None where there is no such order."""
    if architecture not in _BASELINES:
        return None
    if not variant:
        return _BASELINES[architecture]
    match = re.fullmatch(r"v(\d{1,3})(?:\.(\d{1,3}))?", variant, re.ASCII)
    return (int(match[1]), int(match[2] or 0)) if match else None
