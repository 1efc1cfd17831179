"""Init as a program: one for each architecture, compiled when the package was built."""

from __future__ import annotations

from importlib import resources

from builder.errors import MissingRequirement
from builder.words import legible

# The architectures of image configs (Go's names), and what compilers call them.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class NoInit(MissingRequirement):
    """Init was not compiled for the architecture of an image."""

    def __init__(self, architecture: str) -> None:
        which = legible(architecture, 64) or "images that state no architecture"
        self.reason = f"this installation has no init for {which}"
        self.advice = "name your own with --init PATH, or leave init out with --init none"
        super().__init__(f"{self.reason}; {self.advice}")


def init_program(architecture: str) -> bytes:
    """Return init for an image's architecture (Go's name of it). Raises NoInit."""
    machine = ARCHITECTURES.get(architecture)
    program = None if machine is None else resources.files("builder.guest") / "programs" / f"init-{machine}"
    if program is None or not program.is_file():
        raise NoInit(architecture)
    return program.read_bytes()
