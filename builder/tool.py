"""The one place that starts other programs: a fixed environment, bounded output, nothing left running."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builder.errors import ToolFailed, ToolMissing, ToolUnusable
from builder.sandbox import policy
from builder.signals import end_if_told, signals_held
from builder.tool_output import ToolOutput

# What each package is called where: (Debian, Fedora, Alpine).
_PACKAGES = {
    "mke2fs": ("e2fsprogs", "e2fsprogs", "e2fsprogs"),
    "e2fsck": ("e2fsprogs", "e2fsprogs", "e2fsprogs"),
    "mkfs.erofs": ("erofs-utils", "erofs-utils", "erofs-utils"),
    "fsck.erofs": ("erofs-utils", "erofs-utils", "erofs-utils"),
    "veritysetup": ("cryptsetup-bin", "veritysetup", "cryptsetup"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86_64"),
    "qemu-system-aarch64": ("qemu-system-arm", "qemu-system-aarch64-core", "qemu-system-aarch64"),
}
_SYSTEMS = ("Debian", "Fedora", "Alpine")

# Ordinary users often lack these in PATH, though the file system tools need no privileges.
_SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

# Why a program that is there does not start, in plainer words than the system's.
_UNUSABLE = {
    errno.ENOEXEC: "it is no program for this machine",
    errno.ENOENT: "the interpreter or loader that it needs is missing",
}

_WATCH_SECONDS = 1.0

# By words, file and what the system knows of that: what programs said of themselves.
_ANSWERS: dict[tuple[object, ...], CompletedTool] = {}

Producer = Callable[[BinaryIO], None]


@dataclass(frozen=True, slots=True)
class CompletedTool:
    """What a tool that succeeded printed; of long output only the first and the last 64 KiB."""

    stdout: str
    stderr: str


def find_tool(name: str) -> str:
    """Return the path of the program `name`; raises ToolMissing, which names the packages that bring it."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise ToolMissing(name, tuple(zip(_SYSTEMS, _PACKAGES.get(name, ()), strict=False)))
    return found


def tool_version(name: str) -> str:
    """Return the version that the installed program `name` states, such as `1.47.0`.

    Raises ToolMissing, or ToolFailed if it does not start or states none.
    """
    argv = [name, "-V"]
    completed = ask_tool(argv)
    # The first number is the program's own; e2fsprogs prints its on standard error.
    version = re.search(r"\d+(\.\d+)+\S*", completed.stdout + completed.stderr)
    if version is None:
        raise ToolFailed(argv, 0, "it states no version")
    return version[0]


def ask_tool(argv: Sequence[str]) -> CompletedTool:
    """Run a program for what it says of itself, and remember that for as long as its file stays the same.

    Raises what `run_tool` raises.
    """
    executable = find_tool(argv[0])
    status = os.stat(executable)
    key = (*argv, executable, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key not in _ANSWERS:
        _ANSWERS[key] = run_tool(argv)
    return _ANSWERS[key]


def run_tool(
    argv: Sequence[str | bytes | Path],
    *,
    stdin: Producer | None = None,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
    inherited: Sequence[int] = (),
    confined: bool = False,
    others: Sequence[str] = (),
    stdout: int | None = None,
    watch: Callable[[], None] = lambda: None,
    every: float = _WATCH_SECONDS,
) -> CompletedTool:
    """Run a program to its end and return what it printed.

    Its environment is PATH, LC_ALL=C, TZ=UTC and what `environment` adds, its umask 022. Standard input is
    empty, or a pipe that `stdin(pipe)` writes; a tool that has read enough may close it early. After that `watch()` is
    called `every` so many seconds until the program ends. The descriptors `inherited` are open in it, under the same
    numbers. One that is `confined` has nothing but those, and may start nothing but the programs `others`, by their
    paths: see builder/sandbox/tools.py. Standard output goes to the descriptor `stdout`, and is not returned then.
    However this ends, and even if this process is killed, the program and those it started have been killed.
    Raises ToolMissing, ToolUnusable, ToolFailed with its exit status or signal, or OSError about `output` as soon as
    the program says that a disk is full.
    """
    end_if_told()
    name = os.fsdecode(argv[0])
    executable = find_tool(name)
    process = None

    def start(group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            executable=executable,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            pass_fds=inherited,
            env={"PATH": search_path(), "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            umask=0o022,
            process_group=group,
        )

    try:
        with _process_group() as group:
            # An exception between the start and its being known here would leave it running.
            with signals_held(), _unusable_named(name, executable):
                process = _confined(start, [executable, *others], inherited)(group) if confined else start(group)
            printed = ToolOutput(process.stdout) if process.stdout else None
            complaints = ToolOutput(process.stderr, process.kill)
            if stdin is not None and process.stdin is not None:
                # EPIPE: the tool reads no more; whether that is a failure its exit status says.
                with suppress(BrokenPipeError), process.stdin as pipe:
                    stdin(pipe)  # type: ignore[arg-type]
            # The end of its words is the end of the tool, but for one that left its pipe to a child.
            while not complaints.ended(every) and process.poll() is None:
                watch()
            status = process.wait()
    finally:
        if process is not None:
            process.wait()
    completed = CompletedTool(printed.text() if printed else "", complaints.text())
    if complaints.error:
        raise OSError(complaints.error, os.strerror(complaints.error), os.fspath(output or name))
    if status != 0:
        raise ToolFailed([os.fsdecode(argument) for argument in argv], status, completed.stderr, completed.stdout)
    return completed


def _confined(
    start: Callable[[int], subprocess.Popen[bytes]], programs: Sequence[str], handed: Sequence[int]
) -> Callable[[int], subprocess.Popen[bytes]]:
    if policy.is_off():
        return start
    # Here, because a disk that is up to date should not wait for the import of what calls C.
    from builder.sandbox.tools import start_confined

    return lambda group: start_confined(lambda: start(group), programs, handed)


@contextmanager
def _process_group() -> Iterator[int]:
    """Make a process group and yield its number; all of it is killed in the end, or when this process is killed.

    A parent-death signal would reach only the tool itself, and setting one means running Python between fork and exec,
    which is not safe where there are threads. So the group begins with a shell that waits for the end of a pipe: as
    long as that one is not reaped, the number cannot become another's. That the group is not ours keeps Ctrl-C from
    the tools: they hear of it through us, so that there is one order in which things end.
    """
    guard = None
    shell = find_tool("sh")
    try:
        with signals_held(), _unusable_named("sh", shell):
            guard = subprocess.Popen(
                ["sh", "-c", "read -r end; kill -KILL 0"],
                executable=shell,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                process_group=0,
            )
        yield guard.pid
    finally:
        if guard is not None and guard.stdin is not None:
            os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()
            guard.stdin.close()


@contextmanager
def _unusable_named(name: str, executable: str) -> Iterator[None]:
    """Say of a program that is there and does not start what is wrong with it."""
    try:
        yield
    except OSError as error:
        if error.filename == executable or error.errno == errno.ENOEXEC:
            raise ToolUnusable(name, executable, _UNUSABLE.get(error.errno or 0, error.strerror or "")) from error
        raise


def search_path() -> str:
    """Tell where programs are looked for: in the directories of PATH, and then in the system's."""
    # An empty entry, or a relative one, is whatever the current directory holds, which may be anybody's.
    given = filter(os.path.isabs, (os.environ.get("PATH") or os.defpath).split(":"))
    return ":".join([*given, _SYSTEM_DIRECTORIES])
