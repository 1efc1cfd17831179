"""Init as a program: one for each architecture, compiled when the package was built."""

from __future__ import annotations

from importlib import resources

from builder.errors import MissingRequirement

# The architectures of image configs (Go's names), and what compilers call them.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def init_program(architecture: str) -> bytes:
    """Return init for an image's architecture; raises MissingRequirement where this installation has none."""
    machine = ARCHITECTURES.get(architecture)
    program = None if machine is None else resources.files("builder.guest") / "programs" / f"init-{machine}"
    if program is None or not program.is_file():
        raise MissingRequirement(
            f"this installation has no init for {architecture}; "
            "name your own with --init PATH, or leave it out with --init none"
        )
    return program.read_bytes()
