"""What a process reports of the machine around it, and what a configuration says that it should be."""

from __future__ import annotations

from dataclasses import dataclass, fields

# It looks at the process P, which is a shell here; a section each. Nothing but `cat` and `ls` is needed.
_LOOK = """
P=$$ S='=''='
for part in cmdline environ status limits mountinfo stat; do echo "$S $part"; {}cat /proc/$P/$part; echo; done
echo "$S child"; {}cat /proc/self/status
echo "$S cwd"; {}ls -l /proc/$P/cwd
echo "$S files"; {}ls /proc/$P/fd
echo "$S devices"; {}ls -ln /dev
echo "$S names"; {}cat /etc/hostname /etc/hosts
echo "$S end"
"""


def look(prefix: str = "") -> str:
    """Return a script that looks around, where `prefix` before a command's name runs it."""
    return _LOOK.replace("{}", prefix)


LOOK = look()

MOUNTS = {
    "/": "overlay",
    "/dev": "devtmpfs",
    "/dev/pts": "devpts",
    "/dev/shm": "tmpfs",
    "/dev/mqueue": "mqueue",
    "/proc": "proc",
    "/sys": "sysfs",
    "/sys/fs/cgroup": "cgroup2",
    "/run": "tmpfs",
}
DEVICES = {
    **dict.fromkeys(("null", "zero", "full", "random", "urandom", "tty", "ptmx"), "crw-rw-rw-"),
    **dict.fromkeys(("fd", "stdin", "stdout", "stderr"), "lrwxrwxrwx"),
    "console": "crw-------",
    "shm": "drwxrwxrwt",
    "pts": "drwxr-xr-x",
    "vda": "brw-------",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process saw; `ids` are real, effective, saved and file system's uid, then gid; `tty` 0 is none."""

    argv: list[bytes]
    env: list[bytes]
    cwd: str
    ids: tuple[str, str]
    groups: list[int]
    umask: str
    blocked: str
    ignored: str
    descriptors: list[str]
    leads: tuple[bool, bool]
    tty: int
    files: tuple[str, str]
    mounts: dict[str, str]
    devices: dict[str, str]
    host: str


def process(argv: list[str], env: list[str], cwd: str, uid: int, gid: int, groups: list[int], host: str) -> Seen:
    """The process that a configuration describes."""
    return Seen(
        argv=[word.encode() for word in argv],
        env=sorted(word.encode() for word in env),
        cwd=cwd,
        ids=("\t".join([str(uid)] * 4), "\t".join([str(gid)] * 4)),
        groups=sorted(groups),
        umask="0022",
        blocked="0" * 16,
        ignored="0" * 16,
        descriptors=["0", "1", "2"],
        leads=(True, True),
        tty=0,
        files=("1024", "524288"),
        mounts=MOUNTS,
        devices=DEVICES,
        host=host,
    )


def differences(seen: Seen, expected: Seen) -> dict[str, tuple[object, object]]:
    """Tell what was seen and expected where that is not the same."""
    pairs = ((part.name, getattr(seen, part.name), getattr(expected, part.name)) for part in fields(Seen))
    return {name: (one, other) for name, one, other in pairs if one != other}


def _fields(status: bytes) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in status.decode().splitlines() if ":\t" in line)


def read(report: bytes) -> Seen:
    """Read what LOOK printed."""
    sections: dict[str, bytes] = {}
    for section in report.split(b"== ")[1:]:
        name, _, content = section.partition(b"\n")
        sections[name.decode()] = content
    assert "end" in sections, report
    # A shell ignores what it does not pass on.
    status, child = (_fields(sections[name]) for name in ("status", "child"))
    # pid (name) state parent group session tty
    pid, _, rest = sections["stat"].partition(b" ")
    after = rest.rpartition(b") ")[2].split()
    limits = next(line.split() for line in sections["limits"].decode().splitlines() if line.startswith("Max open"))
    mounts = [line.split() for line in sections["mountinfo"].decode().splitlines() if line]
    devices = [line.split() for line in sections["devices"].decode().splitlines()]
    shown = {line[-3 if "->" in line else -1]: line[0][:10] for line in devices if len(line) > 3}
    return Seen(
        argv=sections["cmdline"].removesuffix(b"\n").split(b"\0")[:-1],
        env=sorted(sections["environ"].removesuffix(b"\n").split(b"\0")[:-1]),
        cwd=sections["cwd"].decode().strip().rpartition(" -> ")[2],
        ids=(status["Uid"], status["Gid"]),
        groups=sorted(map(int, status["Groups"].split())),
        umask=status["Umask"],
        blocked=status["SigBlk"],
        ignored=child["SigIgn"],
        descriptors=sections["files"].decode().split(),
        leads=(after[2] == pid, after[3] == pid),
        tty=int(after[4]),
        files=(limits[3], limits[4]),
        # The last mount on a place is the one that is seen.
        mounts={line[4]: line[line.index("-") + 1] for line in mounts},
        devices={name: mode for name, mode in shown.items() if name in DEVICES},
        host=sections["names"].decode().splitlines()[0],
    )
