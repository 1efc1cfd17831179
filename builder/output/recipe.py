"""What decides a disk's bytes: by the same recipe, the same disk is made again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from builder.version import VERSION
from builder.words import legible


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides a disk's bytes.

    That is the image by the digest of its config, which binds the layers' content and not how they are packed; the
    options as BuildOptions describes them; the versions of the tools, and of this program.
    """

    config: str
    options: dict[str, Any]
    tools: dict[str, str]
    builder: str = field(default_factory=lambda: VERSION)

    def digest(self) -> str:
        """Give it as one digest, in hex."""
        said = [self.builder, self.config, self.options, self.tools]
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def difference(self, kept: Recipe) -> str | None:
        """Say in a few words what is not as in an older recipe; None where all is."""
        if kept.builder != self.builder:
            return f"rootfs-builder was {legible(kept.builder, 100)}"
        if kept.config != self.config:
            return "image changed"
        for name in sorted(self.options.keys() | kept.options.keys()):
            if self.options.get(name) != kept.options.get(name):
                return "added files changed" if name == "additions" else f"option {_dashed(name)} changed"
        for name in sorted(self.tools.keys() | kept.tools.keys()):
            if self.tools.get(name) != kept.tools.get(name):
                return f"{legible(name, 100)} changed"
        return None


def _dashed(name: str) -> str:
    """Write the name of an option in metadata as users do; who wrote the file may have had any."""
    return legible(re.sub("[A-Z]", lambda capital: f"-{capital[0].lower()}", name), 100)
