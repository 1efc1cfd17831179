"""Machines that lack something: the real command ends with one line and the right status, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ORDINARY, open_to_users

from builder import blank

FILES = "this machine gives us no more open files; raise the limit (ulimit -n)"
PROCESSES = "this machine gives us no more processes and threads; end some, or raise the limit (ulimit -u)"
FULL = "standard output: No space left on device; send it elsewhere"
DEEP = "[" * 100_000

# Run with a limit in place from the first instruction on.
_UNDER_LIMIT = """
import os, resource, sys
resource.setrlimit(int(sys.argv[1]), (int(sys.argv[2]),) * 2)
os.execv(sys.argv[3], sys.argv[3:])
"""
# Root has as many processes as it likes: the limit is another user's, who may not be able to read this package.
_WITHOUT_PROCESSES = f"""
import os, resource, sys
import builder.cli.build, builder.archive.tar
from builder.__main__ import main
if os.geteuid() == 0:
    os.setgroups([])
    os.setresuid({ORDINARY}, {ORDINARY}, {ORDINARY})
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
main()
"""


# As Python 3.13 ends an import for which there is no memory, now and then.
_IMPORT_LOST = """
import sys
from builder.__main__ import main
lost = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == lost:
            raise SystemError("error return without exception set")
sys.meta_path.insert(0, Finder())
main()
"""


# The list of images is the first file that cannot be opened any more.
_WITHOUT_FILES = """
import builtins, errno, os, sys
from builder.__main__ import main
really = builtins.open
def none_left(file, *words, **more):
    if file == "list":
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), file)
    return really(file, *words, **more)
builtins.open = none_left
main()
"""

# What says so runs out of memory itself.
_SAYING_LOST = """
import sys
import builder.cli.main
from builder.__main__ import main
error, saying = sys.argv[1:3]
del sys.argv[1:3]
def lost(*_):
    raise {"MemoryError": MemoryError, "SystemError": SystemError}[error]
setattr(builder.cli.main, saying, lost)
builder.cli.main.open_standard_streams = lost
main()
"""


@dataclass(frozen=True, slots=True)
class Hardship:
    status: int
    said: str
    words: tuple[str, ...] = ("-q", "build", "oci:image", "-o", "out/d.ext4")
    limit: tuple[int, int] | None = None
    files: dict[str, str | bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    stdout: str = "/dev/null"


def tool(content: bytes, said: str, status: int = 4) -> Hardship:
    return Hardship(status, said, files={"bin/mke2fs": content})


LIES = b'#!/bin/sh\ncase "$1" in -V) echo mke2fs 1.47.0 >&2;; esac\n'

HARDSHIPS = {
    "open files for nothing": Hardship(1, FILES, limit=(resource.RLIMIT_NOFILE, 5)),
    "open files for imports": Hardship(1, FILES, limit=(resource.RLIMIT_NOFILE, 7)),
    "open files for the image": Hardship(1, FILES, limit=(resource.RLIMIT_NOFILE, 12)),
    "open files for tools": Hardship(1, FILES, limit=(resource.RLIMIT_NOFILE, 17)),
    "libarchive": Hardship(4, "libarchive cannot be loaded: /none.so: ", environment={"LIBARCHIVE": "/none.so"}),
    "a tool for this machine": tool(b"\x7fELF" + bytes(60), "mke2fs does not start: "),
    "a tool's interpreter": tool(b"#!/nowhere/perl\n", "mke2fs does not start: "),
    "a tool that is something": tool(b"", "mke2fs does not start: "),
    "a tool with a version": tool(b"#!/bin/sh\n", "it states no version", 1),
    "a tool that does something": tool(LIES, "mke2fs ended well and made no ext4 file system"),
    "room for help": Hardship(1, FULL, ("--help",), stdout="/dev/full"),
    "room for help with a command": Hardship(1, FULL, ("build", "--help"), stdout="/dev/full"),
    "room for the version": Hardship(1, FULL, ("--version",), stdout="/dev/full"),
    "room for a script": Hardship(1, FULL, ("completion", "bash"), stdout="/dev/full"),
    "room for an answer": Hardship(1, FULL, ("-q", "inspect", "--quick", "oci:image"), stdout="/dev/full"),
    "a shallow registries.conf": Hardship(
        1,
        "conf: is no registries.conf of version 2: ",
        ("-q", "build", "docker://a.example/b", "-o", "out/d.ext4"),
        files={"deep.conf": f"a = {DEEP}"},
        environment={"CONTAINERS_REGISTRIES_CONF": "deep.conf"},
    ),
    "a shallow storage.conf": Hardship(
        1,
        "conf: ",
        ("-q", "build", "containers-storage:a", "-o", "out/d.ext4"),
        files={"deep.conf": f"a = {DEEP}"},
        environment={"CONTAINERS_STORAGE_CONF": "deep.conf"},
    ),
    "a shallow index": Hardship(
        3,
        "index.json",
        ("-q", "build", "oci:deep", "-o", "out/d.ext4"),
        files={"deep/oci-layout": '{"imageLayoutVersion": "1.0.0"}', "deep/index.json": DEEP},
    ),
    "a label that is text": Hardship(
        2, "--label", ("-q", "build", "oci:image", "-o", "out/d.erofs", "--label", os.fsdecode(b"\xff"))
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    (tmp_path / "out").mkdir()
    return tmp_path


def outcome(place: Path, command: list[str], stdout: str = "/dev/null", **environment: str) -> tuple[int, str]:
    """Run a command; return its status and what it said, of which there must be one line and no disk."""
    with open(stdout, "wb") as output:
        done = subprocess.run(
            command,
            cwd=place,
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert os.listdir(place / "out") == []
    (line,) = done.stderr.splitlines()
    assert line.startswith("rootfs-builder: error: ")
    return done.returncode, line.removeprefix("rootfs-builder: error: ")


@pytest.mark.heavy
@pytest.mark.parametrize("lacking", HARDSHIPS)
def test_what_is_lacking_is_said_in_one_line_with_its_status(place: Path, lacking: str) -> None:
    hardship = HARDSHIPS[lacking]
    for name, content in hardship.files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (place / name).chmod(0o755)
    command = argv(*hardship.words)
    if hardship.limit:
        command = [sys.executable, "-c", _UNDER_LIMIT, *map(str, hardship.limit), *command]
    path = {"PATH": f"{place}/bin:{os.environ['PATH']}"}
    status, said = outcome(place, command, hardship.stdout, **path, **hardship.environment)
    assert (status, hardship.said in said) == (hardship.status, True), said


@pytest.mark.heavy
def test_without_more_processes_a_build_says_so(place: Path) -> None:
    open_to_users(place)
    (place / "out").chmod(0o777)
    command = [sys.executable, "-c", _WITHOUT_PROCESSES, *HARDSHIPS["libarchive"].words]
    assert outcome(place, command) == (1, PROCESSES)


@pytest.mark.parametrize("module", ["builder.cli.main", "builder.cli.build", "builder.tree.merge"])
def test_an_import_that_runs_out_of_memory_is_said_whatever_it_raises(place: Path, module: str) -> None:
    command = [sys.executable, "-c", _IMPORT_LOST, module, *HARDSHIPS["libarchive"].words]
    status, said = outcome(place, command)
    assert (status, said.startswith("this machine gives us no more memory")) == (1, True)


def test_a_list_that_cannot_be_opened_for_want_of_files_is_no_wrong_word(place: Path) -> None:
    (place / "list").write_text("oci:image\n")
    assert outcome(place, [sys.executable, "-c", _WITHOUT_FILES, "batch", "list", "-o", "out"]) == (1, FILES)


@pytest.mark.heavy
@pytest.mark.parametrize("stderr", ["", " 2>&-"])
def test_without_what_takes_everything_nothing_starts(place: Path, stderr: str) -> None:
    """As in a bare chroot, where /dev is empty."""
    code = "import os; os.devnull = '/nowhere/null'; from builder.__main__ import main; main()"
    words = ["sh", "-c", f'exec "$@"{stderr}', "sh", sys.executable, "-c", code, "build", "oci:image", "-o", "x.ext4"]
    done = subprocess.run(words, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    why = "/nowhere/null cannot be opened: No such file or directory; mount /dev, or make it anew"
    said = "" if stderr else f"rootfs-builder: error: {why}\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", said)


@pytest.mark.parametrize(
    ("error", "saying"), [("MemoryError", "shortage"), ("MemoryError", "Console"), ("SystemError", "shortage")]
)
def test_memory_that_is_too_little_to_say_so_is_said_all_the_same(place: Path, error: str, saying: str) -> None:
    command = [sys.executable, "-c", _SAYING_LOST, error, saying, *HARDSHIPS["libarchive"].words]
    status, said = outcome(place, command)
    assert (status, said.startswith("this machine gives us no more memory")) == (1, True)


def interpreter_kibibytes() -> int:
    """How much address space Python takes before it has done anything."""
    code = "print(open('/proc/self/status').read().split('VmPeak:')[1].split()[0])"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.slow
def test_however_little_memory_there_is_a_build_is_whole_or_says_one_line(place: Path) -> None:
    words = argv("-q", "build", "oci:image", "-o", "out/d.ext4")
    ended = {}
    for mebibytes in (4, 8, 16, 24, 32, 48, 64, 80, 100, 400):
        limit = (interpreter_kibibytes() << 10) + (mebibytes << 20)
        limited = [sys.executable, "-c", _UNDER_LIMIT, str(int(resource.RLIMIT_AS)), str(limit), *words]
        done = subprocess.run(limited, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        assert (done.returncode == 0, len(lines)) in ((True, 0), (False, 1)), done.stderr
        assert os.listdir(place / "out") == ["d.ext4"] * (done.returncode == 0)
        (place / "out/d.ext4").unlink(missing_ok=True)
        ended[mebibytes] = (done.returncode, "".join(lines))
    assert (ended[4][0], "this machine gives us no more memory" in ended[4][1]) == (1, True)
    assert ended[400] == (0, "")


@pytest.mark.heavy
@pytest.mark.parametrize("stderr", ["/dev/full", "closed"])
def test_standard_error_that_takes_nothing_costs_no_disk(place: Path, stderr: str) -> None:
    def run(image: str) -> int:
        command = argv("-v", "build", image, "-o", "out/d.ext4", "--force")
        redirected = ["sh", "-c", f'exec "$@" 2>{"&-" if stderr == "closed" else stderr}', "sh", *command]
        return subprocess.run(redirected, cwd=place, env=ENVIRONMENT, check=False).returncode

    assert run("oci:image") == 0
    assert os.listdir(place / "out") == ["d.ext4"]
    assert run("oci:nowhere") == 1


@pytest.mark.heavy
def test_a_reader_of_standard_error_that_goes_costs_no_disk(place: Path) -> None:
    command = argv("build", "oci:image", "-o", "out/d.ext4", "--progress", "json")
    with subprocess.Popen(command, cwd=place, env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
    assert (process.returncode, os.listdir(place / "out")) == (0, ["d.ext4"])


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_needs_no_libarchive(place: Path, option: str) -> None:
    done = subprocess.run(argv(option), env={**ENVIRONMENT, "LIBARCHIVE": "/none.so"}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# Each finds it out at another moment: in options, in a list, for the VMM.
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("build {0} -o {1}/d.ext4 --add a:/b", "."),
        ("build {0} -o {1}/d.ext4 --init init", "."),
        ("batch {1}/list -o .", "x.ext4"),
        ("boot {1}/blank.ext4 --kernel {1}/list --dry-run", "."),
    ],
)
def test_where_the_current_directory_is_gone_that_is_said(place: Path, words: str, said: str) -> None:
    (place / "list").write_text(f"oci:{place}/image output=x.ext4\n")
    blank(place / "blank.ext4", size=16 << 20)
    leave = ["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "sh"]
    status, line = outcome(place, [*leave, *argv("-q", *words.format(f"oci:{place}/image", place).split())])
    assert (status, line) == (1, f"{said}: the current directory is gone; change to one that exists")
