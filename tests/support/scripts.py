"""Scripts that start machines, run with a program in the VMM's place that tells what it was asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.vm.machine import MachineOptions, Root
from builder.vm.vmms import VMMS

# Names that a shell, an option's value or JSON could take for something else.
ODD_NAMES = ['a "b" c', "it's", "-dash", "a:b,c=d", "$HOME `id` \\", "new\nline", "[x]", "* ?", " end ", "grün"]

_TELLS = '#!/bin/sh\n{ printf "%s\\0" "$PWD"; printf "%s\\0" "$@"; } > "$ASKED"\n'


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program was asked, and where."""

    folder: Path
    argv: list[str]

    def values(self, option: str) -> list[str]:
        return [value for name, value in zip(self.argv, self.argv[1:], strict=False) if name == option]


def write_script(vmm: str, root: Root, machine: MachineOptions, file: Path) -> Path:
    made = VMMS[vmm].configure(root, machine, file)
    assert made.executable
    file.write_bytes(made.content)
    file.chmod(0o755)
    return file


def run_script(
    command: Sequence[str | Path], place: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[subprocess.CompletedProcess[str], Asked | None]:
    """Run a command of a script's; `place` is for what it needs."""
    programs = place / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("qemu-system-x86_64", "qemu-system-aarch64", "cloud-hypervisor"):
        (programs / name).write_text(_TELLS)
        (programs / name).chmod(0o755)
    asked = place / "asked"
    asked.unlink(missing_ok=True)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "ASKED": str(asked), **(environment or {})}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    if not asked.exists():
        return done, None
    folder, *argv, _ = asked.read_bytes().split(b"\0")
    return done, Asked(Path(os.fsdecode(folder)), [os.fsdecode(word) for word in argv])
