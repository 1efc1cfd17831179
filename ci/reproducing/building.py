"""What is built again and again, and how."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.images import Spec, layout
from support.tars import directory, file, hardlink, symlink, tar

CHECKOUT = Path(__file__).resolve().parents[2]
FORMATS = ("ext4", "erofs")
# Another system's Python has no installed program; -P: it imports nothing from where it stands.
MODULE = ["python3", "-P", "-m", "builder"]
OWN = [str(CHECKOUT / ".venv/bin/rootfs-builder")] if sys.prefix == str(CHECKOUT / ".venv") else MODULE
WORDS = ["build", "--no-cache", "-q", "--init", "none"]
PLAIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    # Where ci/in-other has what is imported.
    **({"PYTHONPATH": os.environ["PYTHONPATH"]} if OWN == MODULE and "PYTHONPATH" in os.environ else {}),
}
FILES = (
    *(directory("etc", mtime=7), file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n", mode=0o600, mtime=1)),
    *(file("bin/tool", b"#!/bin/sh\n" * 900, mode=0o4755, uid=1, gid=2**31), symlink("sh", "bin/tool", mtime=-5)),
    *(hardlink("etc/link", "etc/passwd"), *(file(f"many/{name:03}", b"%d" % name * name) for name in range(300))),
)


class NotTried(Exception):
    """What a variation needs is not to be had here."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is around a build: what stands before its command, its variables, and the command where not ours."""

    prefix: Sequence[str] = ()
    variables: Mapping[str, str] | None = None
    program: Sequence[str] = tuple(OWN)


def build(inputs: Path, output: Path, around: Around, *more: str) -> str:
    """Build a disk; return its sha256. Raises NotTried where what comes before the command does not work here."""
    output.parent.mkdir(mode=0o777)
    output.parent.chmod(0o777)
    if around.prefix:
        have([*around.prefix, *around.program, "--version"], output.parent)
    words = [*WORDS, f"oci:{inputs}/image", "-o", str(output), "--add", f"{inputs}/added:/srv", *more]
    argv = [*around.prefix, *around.program, *words]
    environment = PLAIN | dict(around.variables or {})
    subprocess.run(argv, check=True, cwd=output.parent, env=environment, stdout=subprocess.DEVNULL)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def have(argv: Sequence[str | Path], place: Path | None = None) -> None:
    """Run what a variation begins with. Raises NotTried where that fails."""
    try:
        done = subprocess.run(
            argv, env=PLAIN, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
    except OSError as error:
        raise NotTried(str(error)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotTried(f"{argv[0]}: status {done.returncode}: {''.join(said)}")


def make_inputs(place: Path) -> Path:
    """Write an image, and a directory to be added."""
    place.mkdir(parents=True)
    layout(place / "image", Spec((tar(*FILES),)))
    for name in ("b", "a", "c"):
        (place / "added" / name).mkdir(parents=True)
        (place / "added" / name / "page").write_bytes(name.encode() * 5000)
    return place


def made(place: Path) -> list[dict[str, object]]:
    """Build a disk of each format; give their digests, each with the tools that made it."""
    inputs = make_inputs(place / "inputs")
    found: list[dict[str, object]] = []
    for format in FORMATS:
        disk = place / format / f"disk.{format}"
        digest = build(inputs, disk, Around(), "--metadata-file", f"{disk}.json")
        tools = json.loads(Path(f"{disk}.json").read_text())["tools"]
        found.append({"format": format, "tools": tools, "sha256": digest})
    return found
