"""A disk with its metadata beside it, as one that is to be verified has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder import BuildOptions, build
from builder.output.beside import metadata_path


def built(image: str, disk: Path, options: BuildOptions | None = None) -> Path:
    """Build a disk of an image, and its metadata."""
    build(image, disk, replace(options or BuildOptions(), metadata_file=metadata_path(disk)))
    return disk
