"""What is known of a VMM: how Linux calls its console, what the kernel must be told, who writes its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import UsageError
from builder.guest.kernel_line import MAX_LENGTH
from builder.vm.machine import MachineOptions, Root, path_from
from builder.vm.runner import Runner
from builder.words import quoted


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of a file that a VMM reads, or a shell."""

    content: bytes
    executable: bool = False

    @property
    def text(self) -> str:
        """The content as text; bytes that are no UTF-8 as os.fsdecode has them."""
        return self.content.decode("utf-8", "surrogateescape")

    @classmethod
    def json(cls, document: dict[str, Any]) -> Configuration:
        """Write a document for people and programs alike."""
        return cls(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Vmm:
    """A VMM: `consoles` by the architectures that it runs, `words` for the kernel, and how many processors it has.

    `configure` makes the content of a file, which need not be there, with paths relative to it. Raises UsageError.
    `runner` starts it, unless that is QEMU, which boots in ways of its own. `adds` is how many bytes it puts on the
    kernel's line itself, at most.
    """

    name: str
    consoles: Mapping[str, str]
    words: tuple[str, ...]
    most_vcpus: int
    configure: Callable[[Root, MachineOptions, Path], Configuration]
    runner: Runner | None = None
    adds: int = 0

    def line(self, root: Root, machine: MachineOptions) -> str:
        """Return the kernel's command line. Raises UsageError."""
        if root.architecture not in self.consoles:
            known = " and ".join(self.consoles)
            raise UsageError(f"{self.name} runs {known}, and the image is for {quoted(root.architecture)}")
        return machine.line(root, self.consoles[root.architecture], self.words)

    def payload(self, root: Root, machine: MachineOptions) -> tuple[Path, str]:
        """Return the kernel and its command line. Raises UsageError for a machine that this VMM does not make."""
        if machine.kernel is None:
            raise UsageError(f"{self.name} has to be told which kernel to boot: name it with --kernel FILE")
        machine.check(root)
        if machine.vcpus > self.most_vcpus:
            raise UsageError(f"{self.name} has {self.most_vcpus} processors at most; lower --vcpus")
        line = self.line(root, machine)
        if len(line) + self.adds > MAX_LENGTH:
            most = MAX_LENGTH - self.adds
            raise UsageError(
                f"the kernel command line has {len(line)} bytes, and {self.name} takes {most} with its own"
            )
        return machine.kernel, line

    def path(self, path: Path, folder: Path) -> str:
        """Name a file for who is in `folder`, in UTF-8, as this VMM takes names. Raises UsageError."""
        name = path_from(path, folder)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{self.name} takes names in UTF-8 alone, and {quoted(name)} is none; rename it") from None
        return name
