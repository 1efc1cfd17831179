"""Disks that are to be machines, as VMMs are told of them; and what they take, as JSON schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builder.vm.machine import MachineOptions, Root

SCHEMAS = Path(__file__).parents[1] / "vm"

# Every option said; what a machine has at least.
FULL = MachineOptions(
    kernel=Path("kernels/vmlinux"), memory=1 << 30, vcpus=4, data=Path("data.ext4"), append=("quiet", 'a="b c"')
)
LEAST = MachineOptions(kernel=Path("vmlinux"))


def root(disk: Path, architecture: str = "amd64", format_: str = "ext4", **more: Any) -> Root:
    return Root(disk, format_, architecture, **{"init": True, **more})


def validate(document: object, schema: str) -> None:
    """Hold a document against tests/vm/SCHEMA.json; raises jsonschema.ValidationError."""
    import jsonschema  # takes a tenth of a second, which collecting other tests need not

    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.json").read_text()))
