"""Init itself, as process 1 of namespaces of its own: quick, where booting a machine takes seconds.

All of it twice: as the program that disks get, and compiled for this machine with sanitizers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from support.init_machine import SOURCES, ended, run, shell, stopped

from builder.guest.description import Description
from builder.guest.program import init_program

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("both_inits")]


def test_arguments_and_variables_arrive_whatever_they_hold(tmp_path: Path) -> None:
    odd = ("new\nline", "quote\"'", "tab\t", "", "100 %", "\udcff")
    description = Description(
        entrypoint=("sh", "-c", 'for word; do printf "<%s>" "$word"; done; printf "<%s>\\n" "$A"', "sh"),
        cmd=odd,
        env=("PATH=/bin", "A=x\ny"),
    )
    assert run(tmp_path, description) == [
        *("".join(f"<{word}>" for word in odd) + "<x\ny>").splitlines(),
        ended(0),
    ]


def test_many_arguments_and_long_variables_arrive(tmp_path: Path) -> None:
    description = Description(
        entrypoint=("sh", "-c", "echo $# ${#A}", "sh"), cmd=("x",) * 2000, env=("PATH=/bin", "A=" + "v" * 100_000)
    )
    assert run(tmp_path, description) == ["2000 100000", ended(0)]


def test_the_process_has_the_ids_and_nothing_that_init_had(tmp_path: Path) -> None:
    script = "id; umask; ls /proc/self/fd | wc -l; grep Sig[BIC] /proc/self/status | cut -f 2; pwd"
    assert run(tmp_path, shell(script, uid=1000, gid=1001, groups=(1001, 7), cwd="/srv/deep")) == [
        "uid=1000(web) gid=1001(web) groups=7(logs),1001(web)",
        "0022",
        "4",  # 0, 1, 2 and the directory that ls reads
        *["0000000000000000"] * 3,
        "/srv/deep",
        ended(0),
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-1], "it is damaged"),
        (lambda data: data[:-4], "it is damaged"),
        (lambda data: data + b"x", "it is damaged"),
        (lambda data: data.replace(b"uid=0", b"uid=x"), "it is damaged"),
        (lambda data: data.replace(b"cwd=/", b"cwd+/"), "it is damaged"),
        (lambda data: data.replace(b"builder 2", b"builder 3"), "it is damaged, or of another version"),
        (lambda data: data.replace(b"stop=", b"stay="), "it says stay, which this init does not know"),
        (lambda data: b"", "it is damaged, or of another version"),
    ],
    ids=["no-end", "cut", "longer", "number", "no-equals", "version", "unknown", "empty"],
)
def test_a_damaged_description_ends_with_one_readable_line(tmp_path: Path, damage: object, said: str) -> None:
    assert callable(damage)
    lines = run(tmp_path, damage(shell("true").encode()))
    assert lines == [
        f"rootfs-builder init: /.rootfs-builder/description: {said}; build the disk again",
        ended(125),
    ]


def test_an_image_with_nothing_to_run_says_so(tmp_path: Path) -> None:
    lines = run(tmp_path, Description())
    assert lines[0].startswith("rootfs-builder init: there is nothing to run: the image has neither Entrypoint nor Cmd")
    assert lines[1:] == [ended(125)]


def test_orphans_are_reaped_and_ended_with_the_process(tmp_path: Path) -> None:
    script = (
        "for i in 1 2 3 4 5; do sh -c 'sleep 0.2 & true'; done; sleep 1000 & sleep 1; ps -o stat | grep -c ^Z; true"
    )
    assert run(tmp_path, shell(script)) == ["0", ended(0)]


def test_whatever_is_cut_off_a_description_is_noticed(tmp_path: Path) -> None:
    whole = shell("exit 9").encode()
    for size in range(0, len(whole), 11):
        lines = run(tmp_path, whole[:size])
        assert lines[-1] == ended(125), (size, lines)
        assert "description: it is damaged" in lines[0]


@pytest.mark.parametrize(
    "setting",
    [b"uid=4294967295", b"uid=99999999999999999999", b"uid=-1", b"gid=", b"group=1x", b"stop=65", b"stop=4294967296"],
)
def test_numbers_that_no_kernel_takes_are_damage(tmp_path: Path, setting: bytes) -> None:
    data = shell("true").encode()
    lines = run(tmp_path, data.replace(b"end\0", setting + b"\0end\0"))
    assert (lines[0].count("it is damaged"), lines[1:]) == (1, [ended(125)])


LINES = (
    *(b"%", b"rb.cmd", b"rb.env rb.env= rb.env==x", b'"', b'rb.cmd="', b"=" * 4000, b" " * 4000),
    *(b"rb.hostname=" + b"h" * 300, b"ip=:::::::::::::", b"ip=x", b"ip=dhcp", b"ip=10.0.0.2::x:y"),
    *(b"rb.stop-timeout=x", b"rb.stop-timeout=", b"dm-mod.create=;;,,,", b"\xff\x01%00%zz%4", b"reboot=", b"init="),
    b"rb.ro rb.data=",
)


@pytest.mark.parametrize("line", LINES)
def test_no_kernel_command_line_keeps_a_process_from_running(tmp_path: Path, line: bytes) -> None:
    if line.startswith(b"rb.cmd"):
        assert run(tmp_path, shell("exit 4"), line)[-1].startswith("rootfs-builder init: the process ended with status")
    else:
        assert run(tmp_path, shell("exit 4"), line)[-1] == ended(4)


def test_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    what = Description(("sh", "-c", 'echo "$A|$HOSTNAME|$1|$2"', "sh"), ("old",), ("PATH=/bin", "A=1"), hostname="vm")
    line = 'rb.cmd="two words" rb.cmd=%22quoted%22%0A rb.env=A=%41b rb.hostname=other'
    assert run(tmp_path, what, line) == ['Ab|other|two words|"quoted"', "", ended(0)]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (lambda root: os.mkfifo(root / "etc/hosts"), []),
        (lambda root: (root / "etc/hosts").symlink_to("/nowhere/hosts"), []),
        (lambda root: os.link(root / "etc/passwd", root / "etc/hosts"), []),
        (lambda root: (root / "etc/hosts").mkdir(), ["rootfs-builder init: /etc/hosts cannot be written"]),
        (lambda root: (root / "etc").rename(root / "other"), []),
        (lambda root: ((root / "run").rmdir(), (root / "run").write_bytes(b"")), ["rootfs-builder init: tmpfs cannot"]),
        (
            lambda root: ((root / "run").rmdir(), (root / "run").symlink_to("run")),
            ["rootfs-builder init: tmpfs cannot"],
        ),
        (lambda root: ((root / "tmp").rmdir(), (root / "tmp").write_bytes(b"")), ["rootfs-builder init: tmpfs cannot"]),
        (lambda root: (root / "rb").mkdir(), []),
    ],
    ids=["fifo", "link", "hardlink", "folder", "no-etc", "run-file", "run-loop", "tmp-file", "like-an-initramfs"],
)
def test_no_tree_keeps_a_process_from_running(tmp_path: Path, odd: Callable[[Path], object], said: list[str]) -> None:
    description = shell("cat /etc/hosts; true", hosts="1.2.3.4\tdb\n", hostname="vm")
    lines = run(tmp_path, description, odd=odd)
    assert lines[-1] == ended(0), lines
    assert all(any(line.startswith(words) for line in lines) for words in said), lines
    if not said:
        assert lines[:2] == ["1.2.3.4\tdb", "127.0.1.1\tvm"]


def test_localhost_is_the_loopback_alone(tmp_path: Path) -> None:
    hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    description = shell("cat /etc/hosts", hosts=hosts, hostname="localhost")
    # What listens on localhost listens on all of its addresses.
    assert run(tmp_path, description, "ip=10.0.2.15:::::lo") == [*hosts.splitlines(), ended(0)]


def test_volumes_that_the_image_lacks_are_made(tmp_path: Path) -> None:
    def keep(root: Path) -> None:
        (root / "data").mkdir(mode=0o700)
        (root / "data/kept").touch()

    volumes = ("/srv/deep/er", "/etc/passwd/x", "/data")
    look = shell("pwd; stat -c '%n %a %u' data data/* srv/deep/er", volumes=volumes)
    assert run(tmp_path, look, odd=keep) == ["/", "data 700 0", "data/kept 644 0", "srv/deep/er 755 0", ended(0)]


# What was started in the background by a shell that has ended says whose it is now.
ORPHAN = """#!/bin/sh
echo $$
sh -c 'sh -c "$1" sh $$ &' sh '
    while [ -e /proc/$1 ]; do sleep 0.1; done
    cut -d " " -f 4 /proc/$$/stat
    echo >/tmp/said'
until [ -e /tmp/said ]; do sleep 0.1; done
"""


def test_orphans_are_tinis_and_else_process_1s(tmp_path: Path) -> None:
    def add(root: Path) -> None:
        for name in ("tini", "other"):
            (root / "bin" / name).write_text(ORPHAN)
            (root / "bin" / name).chmod(0o755)

    own, parent, *rest = run(tmp_path, Description(cmd=("tini",), env=("PATH=/bin",)), odd=add)
    assert (parent, rest) == (own, [ended(0)])
    (tmp_path / "root/tmp/said").unlink()
    assert run(tmp_path, Description(cmd=("/bin/other",), env=("PATH=/bin",)))[1:] == ["1", ended(0)]


def test_a_hardlink_of_hosts_keeps_its_content(tmp_path: Path) -> None:
    def link(root: Path) -> None:
        os.link(root / "etc/passwd", root / "etc/hosts")

    assert run(tmp_path, shell("cat /etc/passwd", hosts="", hostname="vm"), odd=link)[0].startswith("root:x:0:0")


def keep_in_run(root: Path) -> None:
    """What images have there: a folder for a socket, with what it was when the image was made."""
    folder = root / "run/app"
    folder.mkdir()
    (folder / "pid").write_bytes(b"1\n" * 50_000)
    (folder / "lock").symlink_to("/run/lock")
    os.mkfifo(folder / "pipe")
    for path, mode in ((folder / "pid", 0o4750), (folder / "pipe", 0o622), (folder, 0o3771)):
        os.chown(path, 1000, 7)
        path.chmod(mode)
    os.chown(folder / "lock", 1000, 7, follow_symlinks=False)


def test_what_the_image_keeps_in_run_is_there_at_each_start(tmp_path: Path) -> None:
    look = "cd /run; stat -c '%A %u:%g %N' app app/*; wc -c <app/pid; tail -n 1 app/pid; rm app/pid; echo >app/socket"
    for odd in (keep_in_run, None):
        assert run(tmp_path, shell(look, uid=1000), odd=odd) == [
            "drwxrws--t 1000:7 app",
            "lrwxrwxrwx 1000:7 'app/lock' -> '/run/lock'",
            "-rwsr-x--- 1000:7 app/pid",
            "prw--w--w- 1000:7 app/pipe",
            "100000",
            "1",
            ended(0),
        ]
    assert sorted(path.name for path in (tmp_path / "root/run/app").iterdir()) == ["lock", "pid", "pipe"]


def test_what_cannot_be_copied_to_run_keeps_no_process_from_running(tmp_path: Path) -> None:
    def fill(root: Path) -> None:
        # A path of more than 4096 bytes.
        with chdir(root / "run"):
            for name in ("deep", *["x" * 255] * 16):
                os.mkdir(name)
                os.chdir(name)

    said, *rest = run(tmp_path, shell("ls /run; echo >/run/pid; grep ' /run ' /proc/mounts; true"), odd=fill)
    assert said.startswith("rootfs-builder init: what the image has in /run cannot be copied: ")
    # Half of it would be worse, and memory that is full takes no socket.
    assert rest == ["deep", ended(0)]


def test_an_init_finds_an_empty_run(tmp_path: Path) -> None:
    assert run(tmp_path, shell("ls -A /run; echo done", takeover=True), odd=keep_in_run)[0] == "done"


TRAPS = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.1; done"


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "PIPE", "ALRM", "WINCH", "CONT"])
def test_signals_to_process_1_reach_the_process(tmp_path: Path, name: str) -> None:
    lines, _ = stopped(tmp_path, shell(TRAPS.format(name)), "", getattr(signal, f"SIG{name}"))
    assert lines == ["ready", f"got {name}", ended(5)]


def test_a_wish_to_stop_is_the_stop_signal(tmp_path: Path) -> None:
    lines, _ = stopped(tmp_path, shell(TRAPS.format("QUIT"), stop=signal.SIGQUIT), "", signal.SIGPWR)
    assert lines == ["ready", "got QUIT", ended(5)]


@pytest.mark.parametrize(("timeout", "least"), [("0", 0), ("0.5", 0.5), ("1", 1)])
def test_who_does_not_stop_is_killed_in_time(tmp_path: Path, timeout: str, least: float) -> None:
    deaf = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    lines, took = stopped(tmp_path, deaf, f"rb.stop-timeout={timeout}", signal.SIGPWR)
    assert lines == ["ready", ended(137)]
    assert least <= took


def test_init_is_small_and_so_are_its_sources() -> None:
    assert all(len(init_program(architecture)) < 64 * 1024 for architecture in ("amd64", "arm64"))
    assert sum(len(path.read_text().splitlines()) for path in SOURCES.glob("*.[ch]")) < 900
