"""Kinds of fault: programs that are missing, fail, hang, lie, talk, or are of another version."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.tool import find_tool
from faulting.kind import Bench, Kind
from faulting.lacks import executable_paths
from faulting.running import Around
from faulting.subjects import Subject

# What a program does, once it is asked for more than what it is: $real is the true one, $image its last word.
WAYS = {
    "fails": "echo 'boom' >&2; exit 1",
    "fails-silently": "exit 1",
    "fails-afterwards": '"$real" "$@"; exit 1',
    "status-77": "exit 77",
    "aborts": "kill -ABRT $$",
    "crashes": "kill -SEGV $$",
    "is-killed": "kill -KILL $$",
    "hangs": "sleep 600",
    "hangs-afterwards": '"$real" "$@"; sleep 600',
    "hangs-with-stdin": "cat >/dev/null; sleep 600",
    "does-nothing": "exit 0",
    "reads-and-does-nothing": "cat >/dev/null; exit 0",
    "writes-noise": 'head -c 300000 /dev/zero | tr "\\0" x > "$image"',
    "empties": '"$real" "$@" || exit; : > "$image"',
    "cuts": '"$real" "$@" || exit; truncate -s 4096 "$image"',
    "removes": '"$real" "$@" || exit; rm -f "$image"',
    "makes-a-directory": 'rm -f "$image"; mkdir "$image"',
    "links": 'rm -f "$image"; ln -s /etc/passwd "$image"',
    "talks": 'yes "a line of warnings" | head -c 3000000 >&2; exec "$real" "$@"',
    "talks-odd": 'printf \'\\377\\033[2J\\000\\n\' >&2; exec "$real" "$@"',
    "talks-out": 'yes "a line" | head -c 3000000; exec "$real" "$@"',
    "leaves-a-child": 'sleep 600 & exec "$real" "$@"',
}
# What it says when it is asked for its version.
VERSIONS = {
    "newer": "echo 'mke2fs 9.99.9 (1-Jan-2040)' >&2; echo 'mkfs.erofs (erofs-utils) 9.9'",
    "older": "echo 'mke2fs 1.0 (1-Jan-1999)' >&2; echo 'mkfs.erofs 0.1'",
    "none": "exit 0",
    "noise": "echo '\\377 version: one.two' >&2",
    "huge": "echo 'mke2fs 99999999999999999999.99999999999999999999.1' >&2; echo mkfs.erofs 99999999999999999999.9",
    "fails": "exit 3",
    "hangs": "sleep 600",
}
_SCRIPT = r"""#!/bin/sh
real={real}
case "$(basename "$0") $*" in mk*--tar=*) left=1;; mk*) left=2;; *) left=1;; esac
eval "image=\${{$(($# - left + 1))}}"
case " $* " in
    *" -V "* | *" --version "* | *" --help "* | *" help "* | *" ? "*) {version};;
esac
{way}
"""


class Tools(Kind):
    """`PROGRAM WAY`, `PROGRAM version-WAY` or `PROGRAM missing`."""

    name = "tool"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        number = 0
        for tool in subject.tools:
            for way in ("missing", *WAYS, *(f"version-{each}" for each in VERSIONS)):
                number += 1
                # QEMU's last word is no file.
                if way in WAYS and '"$image"' in WAYS[way] and tool.startswith("qemu"):
                    continue
                if number % min(bench.step, 6) == 0 and (way != "missing" or bench.mounts):
                    yield f"{tool} {way}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        tool, way = fault.split()
        if way == "missing":
            yield from self._missing(tool, bench)
            return
        real = 'exec "$real" "$@"'
        version = VERSIONS[way.removeprefix("version-")] + "; exit" if way.startswith("version-") else real
        script = _SCRIPT.format(real=find_tool(tool), version=version, way=WAYS.get(way, real))
        folder = bench.scratch / "bin"
        folder.mkdir()
        (folder / tool).write_text(script)
        (folder / tool).chmod(0o755)
        path = {"PATH": f"{folder}:{os.environ['PATH']}"}
        if "hangs" in way:
            # There is no telling how long a disk may take: what hangs is ended by whoever waits.
            after = 3 * bench.seconds(subject, False)
            yield Around(environment=path, after=after, then=lambda pid: os.kill(pid, signal.SIGTERM))
        else:
            yield Around(environment=path)
        shutil.rmtree(folder)

    def _missing(self, tool: str, bench: Bench) -> Iterator[Around]:
        hidden = executable_paths(tool)
        nothing = bench.scratch / "nothing"
        nothing.write_bytes(b"")
        for path in hidden:
            subprocess.run(["mount", "--bind", nothing, path], check=True)
        yield Around()
        for path in hidden:
            subprocess.run(["umount", path], check=True)

    def statuses(self, fault: str) -> set[int]:
        return {143, 0, 1, 4} if "hangs" in fault else {0, 1, 4}

    def is_silent(self, fault: str) -> bool:
        return "hangs" in fault

    def changes(self, fault: str) -> tuple[str, ...]:
        # They say which versions of which tools made the disk.
        return (".json",) if "version-" in fault else ()
