"""Init itself, as process 1 of namespaces of its own: quick, where booting a machine takes seconds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.guests import BUSYBOX_APPLETS, GROUP, PASSWD

from builder.guest.description import Description
from builder.guest.program import init_program
from fixtures.make_example import BUSYBOX

pytestmark = pytest.mark.root

# What a kernel would have made; the console is a file. A process's end of a namespace is its machine's.
_ENTER = """
mount -t tmpfs dev root/dev
mknod root/dev/null c 1 3
touch root/dev/console
mount --bind console root/dev/console
mount -t proc proc root/proc
exec chroot root /.rootfs-builder/init
"""


def machine(place: Path) -> Path:
    """A root of busybox with init in it."""
    root = place / "root"
    for folder in ("bin", "dev", "proc", "sys", "run", "tmp", "etc", ".rootfs-builder"):
        (root / folder).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for applet in BUSYBOX_APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_bytes(PASSWD)
    (root / "etc/group").write_bytes(GROUP)
    init = root / ".rootfs-builder/init"
    init.write_bytes(init_program({"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]))
    init.chmod(0o755)
    return root


def run(place: Path, description: Description | bytes) -> list[str]:
    """Run a description to its end; return the lines of the console."""
    root = machine(place)
    encoded = description if isinstance(description, bytes) else description.encode()
    (root / ".rootfs-builder/description").write_bytes(encoded)
    (place / "console").touch()
    argv = ["unshare", "--pid", "--fork", "--mount", "--uts", "--net", "--kill-child", "sh", "-ec", _ENTER]
    subprocess.run(argv, cwd=place, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return (place / "console").read_text("utf-8", "surrogateescape").splitlines()


def ended(status: int) -> str:
    return f"rootfs-builder init: the process ended with status {status}"


def shell(script: str, **facts: object) -> Description:
    return Description(entrypoint=("sh", "-c", script), env=("PATH=/bin",), **facts)  # type: ignore[arg-type]


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


def test_init_is_small() -> None:
    assert all(len(init_program(architecture)) < 64 * 1024 for architecture in ("amd64", "arm64"))
