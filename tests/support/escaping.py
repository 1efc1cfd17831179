"""What a program that was taken over would try, each by itself: `python3 -c` THIS HOME PORT FD PROCESS.

HOME is a directory with a file `victim` in it, PORT that of a listener on loopback, FD a descriptor that it was handed,
and PROCESS the number of one that it did not start. Prints in JSON, by what was tried, "done" or the error's name.
Imports only the standard library, for it runs without the rest of the tests.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import closing

LIBC = ctypes.CDLL(None, use_errno=True)
HELD = "/proc/self/fd"
TIOCSTI, FS_IOC_SETFLAGS = 0x5412, 0x40086602
CLONE_NEWUSER, SIGCHLD = 0x10000000, 17


def call(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path: str, flags: int = os.O_CREAT) -> None:
    os.close(os.open(path, os.O_WRONLY | flags, 0o600))


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def reopened(path: str) -> None:
    fd = os.open(path, os.O_PATH)
    write(f"{HELD}/{fd}", 0)


def linked(home: str) -> None:
    os.link(f"{home}/victim", f"{home}/link")


def datagram(port: int) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.sendto(b"secret", ("127.0.0.1", port))


def abstract_name(port: int) -> str:
    """Name the abstract socket (unix(7)) of who listens at a port."""
    return f"\0rootfs-builder-{port}"


def reached(port: int) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as caller:
        caller.connect(abstract_name(port))


def shared_memory() -> None:
    # Private, so that nobody else's is in danger; and at once marked to go.
    call(segment := LIBC.shmget(0, ctypes.c_size_t(4096), 0o600))
    call(LIBC.shmctl(segment, 0, None))


def ringed() -> None:
    # Asked for nothing: what is not refused looks for the answer's place first.
    try:
        call(LIBC.syscall(ctypes.c_long(425), ctypes.c_ulong(1), None))
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise


def started(path: str) -> None:
    child = os.fork()
    if child == 0:
        try:
            os.execv(path, [path, "-c", "exit 0"])
        except OSError as error:
            os._exit(error.errno or 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, "")


def privileges() -> dict[str, str]:
    """What the kernel says that this process may: no_new_privs, filters, and sets of capabilities, by its own names."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        said = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return {name: value for name, value in said.items() if name.startswith(("NoNewPrivs", "Seccomp", "Cap"))}


def traced(process: int) -> None:
    # PTRACE_SEIZE, which does not stop it, and ends with us.
    call(LIBC.ptrace(ctypes.c_long(0x4206), ctypes.c_long(process), None, None))


def typed() -> None:
    try:
        call(LIBC.ioctl(int(sys.argv[3]), ctypes.c_ulong(TIOCSTI), b" "))
    except OSError as error:
        # What is no terminal has been asked all the same.
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise


def held(change: Callable[[int], object]) -> None:
    """Change what is open; nobody's file, so that none is in danger."""
    fd = os.memfd_create("own")
    try:
        change(fd)
    finally:
        os.close(fd)


def flagged(fd: int) -> None:
    try:
        call(LIBC.ioctl(fd, ctypes.c_ulong(FS_IOC_SETFLAGS), struct.pack("q", 0)))
    except OSError as error:
        # What has no flags has been asked all the same.
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise


def cloned(number: int, *words: object) -> None:
    """Make a process in a namespace of its own, by the call of that number."""
    child = LIBC.syscall(ctypes.c_long(number), *words)
    if child == 0:
        os._exit(0)
    # To glibc, that there is no such call is the refusal that has it go on by another.
    if child < 0 and ctypes.get_errno() == errno.ENOSYS:
        raise PermissionError(errno.EPERM, "")
    call(child)
    os.waitpid(child, 0)


def no_new_privileges() -> None:
    if LIBC.prctl(39, 0, 0, 0, 0) == 1:
        raise OSError(errno.EPERM, "")


def tried(home: str, port: int, process: int) -> dict[str, Callable[[], object]]:
    """What can be tried as any user."""
    victim = f"{home}/victim"
    clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    flags = struct.pack("8Q", CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0)
    return {
        "read a file of the user's": lambda: read(victim),
        "list a directory of the user's": lambda: os.listdir(home),
        "make a file": lambda: write(f"{home}/new"),
        "make a directory": lambda: os.mkdir(f"{home}/directory"),
        "write a file": lambda: write(victim, 0),
        "write a file by its descriptor": lambda: reopened(victim),
        "cut a file short": lambda: os.truncate(victim, 1),
        "link to a file": lambda: linked(home),
        "chmod": lambda: os.chmod(victim, 0o666),
        "chown": lambda: os.chown(victim, os.getuid(), os.getgid()),
        "have a program run as its owner": lambda: held(lambda fd: os.fchmod(fd, 0o4755)),
        "chown what is open": lambda: held(lambda fd: os.fchown(fd, os.getuid(), os.getgid())),
        "chattr what is open": lambda: held(flagged),
        "make a namespace by clone": lambda: cloned(clone, ctypes.c_long(CLONE_NEWUSER | SIGCHLD), 0, 0, 0, 0),
        "make a namespace by clone3": lambda: cloned(435, flags, ctypes.c_long(len(flags))),
        "utime": lambda: os.utime(victim, (1, 1)),
        "setxattr": lambda: os.setxattr(victim, "user.mark", b"1"),
        "rename a file": lambda: os.rename(victim, f"{home}/moved"),
        "remove a file": lambda: os.unlink(f"{home}/second"),
        "connect": lambda: socket.create_connection(("127.0.0.1", port)).close(),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "send a datagram": lambda: datagram(port),
        "reach an abstract socket": lambda: reached(port),
        "share memory": shared_memory,
        "call by io_uring": ringed,
        "start a shell": lambda: started("/bin/sh"),
        "signal a process": lambda: os.kill(process, 0),
        "read another's environment": lambda: read(f"/proc/{process}/environ"),
        "read another's memory": lambda: os.close(os.open(f"/proc/{process}/mem", os.O_RDONLY)),
        "write another's memory": lambda: write(f"/proc/{process}/mem", 0),
        "trace a process": lambda: traced(process),
        "type at the user's terminal": typed,
        "gain privileges": no_new_privileges,
    }


def tried_by_root(home: str) -> dict[str, Callable[[], object]]:
    """What only root can do."""
    return {
        "read /etc/shadow": lambda: read("/etc/shadow"),
        # Of none, so that it is in no danger.
        "give a program capabilities": lambda: held(
            lambda fd: os.setxattr(fd, "security.capability", struct.pack("<5I", 0x02000000, 0, 0, 0, 0))
        ),
        "make a device": lambda: os.mknod(f"{home}/device", 0o060600, os.makedev(8, 0)),
        "make a namespace": lambda: call(LIBC.unshare(0x00020000)),
        # In that namespace.
        "change mounts": lambda: call(LIBC.mount(None, b"/", None, 0x44000, None)),
        "change the root": lambda: os.chroot("/"),
        # But not standard input, which may be the machine's /dev/null.
        "own a handed file": lambda: os.fchown(int(sys.argv[3]), *([65534, 65534] if int(sys.argv[3]) else [-1, -1])),
    }


def outcome(attempt: Callable[[], object]) -> str:
    """Try something; say how it went."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def main() -> None:
    """Try all."""
    home, port, _, process = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    attempts = tried(home, port, process) | (tried_by_root(home) if os.geteuid() == 0 else {})
    print(json.dumps({name: outcome(attempt) for name, attempt in attempts.items()}))


if __name__ == "__main__":
    main()
