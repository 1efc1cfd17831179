"""seccomp: system calls that a thread, and all that it starts, gets EPERM for.

Named are the ways around Landlock, which knows neither datagrams nor owners, modes and times of files, be they named or
open to be read; and those into large parts of the kernel that no tool of ours needs.
Documentation/userspace-api/seccomp_filter.rst of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from builder.sandbox.calls import gain_no_privileges, process_control, system_call

_SET_SECCOMP = 22
_MODE_FILTER = 2
# seccomp(2) itself: its number on x86-64 and on arm64, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC.
_CALL = (317, 277)
_SET_FILTER, _ALL_THREADS = 1, 1

# AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64: the column of the tables below.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# The calls of x32, the other way to call an x86-64 kernel, begin here.
_X32 = 0x40000000

_Calls = Mapping[str, tuple[int | None, int | None]]

# By name: its number on x86-64 and on arm64, where one has it.
NETWORK: _Calls = {"socket": (41, 198)}
# Of files, which Landlock leaves alone; modes by path: what is published gets its own while it is open.
OWNERS: _Calls = {
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchownat": (260, 54), "fchown": (93, 55),
}  # fmt: skip
MODES: _Calls = {"fchmod": (91, 52)}
ATTRIBUTES: _Calls = {
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "fsetxattr": (190, 7), "fremovexattr": (199, 16),
}  # fmt: skip
SYSTEM: _Calls = {
    # The other way to make most calls, of which no filter hears.
    "io_uring_setup": (425, 425),
    # Other processes, and what they share by other names than those of files (sysvipc(7), mq_overview(7)); but not the
    # queues and semaphores of sysvipc, by which fakeroot(1) works.
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    # Mounts and namespaces, and files by other ways than paths.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # The kernel and the machine itself.
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "syslog": (103, 116), "acct": (163, 89),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "swapon": (167, 224), "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "sethostname": (170, 161), "setdomainname": (171, 162), "quotactl": (179, 60),
}  # fmt: skip

# How a program asks for a namespace, or for a file of any mode, where no filter sees it. It is told that there is no
# such call, as by an older kernel, and makes its threads and processes by clone(2), its files by openat(2).
_UNSEEN = (435, 437)  # clone3 and openat2, on both


@dataclass(frozen=True, slots=True)
class Asked:
    """Of a call, as in the tables above, what its `argument`, counted from 0, may not be: one of `values`.

    Or, with `bits`, have one of these bits. With `where`, that counts only where another argument has one of some bits.
    The kernel heeds no more than the lower 32 bits of these arguments.
    """

    call: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    bits: bool = False
    where: tuple[int, int] | None = None


# O_CREAT and __O_TMPFILE: without these, C libraries leave anything where the mode would be.
_MAKES = 0o20000100
# A program that whoever starts it runs as its owner or its group: of what is open, or anew.
SET_ID = tuple(
    Asked(call, argument, (0o6000,), bits=True, where=where)
    for call, argument, where in (
        ((91, 52), 1, None),  # fchmod
        ((2, None), 2, (1, _MAKES)),  # open
        ((257, 56), 3, (2, _MAKES)),  # openat
        ((85, None), 1, None),  # creat
        ((133, None), 1, None),  # mknod
        ((259, 33), 2, None),  # mknodat
    )
)
_ASKED = (
    # ioctl, for TIOCSTI and TIOCLINUX: what puts into a terminal what its user seems to have typed, which a shell then
    # does; and for FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR: what chattr does to a file that is open to be read.
    Asked((16, 29), 1, (0x5412, 0x541C, 0x40086602, 0x401C5820)),
    # clone, for CLONE_NEW…: in a namespace of its own anybody is root, before large parts of the kernel.
    Asked((56, 220), 0, (0x7E020000,), bits=True),
)

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOWED, _REFUSED, _UNKNOWN = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
# Of struct seccomp_data, in bytes.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
# Where a jump goes that is no number of instructions: to the last but one, and to the last.
_TO_REFUSED, _TO_UNKNOWN = -2, -1


@cache
def is_there() -> bool:
    """Tell whether the kernel has filters, and we know the numbers of this machine's calls."""
    if platform.machine() not in _MACHINES or sys.maxsize < 1 << 32:
        return False
    try:
        process_control(_SET_SECCOMP, _MODE_FILTER, None)
    except OSError as error:
        # It looks whether it has filters before it looks for the filter.
        return error.errno == errno.EFAULT
    return False


def refuse(*tables: _Calls | tuple[Asked, ...], threads: bool = False) -> None:
    """Refuse this thread, for ever, these calls, and all of other kinds of programs; typing at terminals; namespaces.

    With `threads`, refuse them all threads of the process, which then gain no privileges either. Raises OSError.
    """
    machine, column = _MACHINES[platform.machine()]
    calls = [each[column] for table in tables if not isinstance(table, tuple) for each in table.values()]
    asked = [*_ASKED, *(each for table in tables if isinstance(table, tuple) for each in table)]
    program = _program(machine, column, calls, asked)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where.
    whole = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(code)))
    gain_no_privileges()
    # Where a thread has a filter that is not ours, its number is what comes back, and nothing has changed.
    if not threads or system_call(_CALL[column], _SET_FILTER, _ALL_THREADS, whole):
        system_call(_CALL[column], _SET_FILTER, 0, whole)


def _program(machine: int, column: int, calls: list[int | None], asked: list[Asked]) -> bytes:
    """Write a filter in the language of BPF: an instruction has code, jumps if true and if false, and a value."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, _TO_REFUSED, machine),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, _TO_REFUSED, 0, _X32),
        *((_IF_EQUAL, _TO_UNKNOWN, 0, number) for number in _UNSEEN),
        *((_IF_EQUAL, _TO_REFUSED, 0, number) for number in calls if number is not None),
        *(line for each in asked for line in _asking(each, column)),
        (_RETURN, 0, 0, _ALLOWED),
        (_RETURN, 0, 0, _REFUSED),
        (_RETURN, 0, 0, _UNKNOWN),
    ]
    return b"".join(
        struct.pack("=HBBI", code, *(jump if jump >= 0 else len(lines) + jump - at - 1 for jump in jumps), value)
        for at, (code, *jumps, value) in enumerate(lines)
    )


def _asking(asked: Asked, column: int) -> Iterator[tuple[int, int, int, int]]:
    """Write the part of a filter that looks at the arguments of a call."""
    if (number := asked.call[column]) is None:
        return
    rest = 1 + len(asked.values)
    yield _LOAD, 0, 0, _NUMBER
    yield _IF_EQUAL, 0, rest + (2 if asked.where else 0), number
    if asked.where:
        argument, bits = asked.where
        yield _LOAD, 0, 0, _ARGUMENTS + 8 * argument
        yield _IF_ANY, 0, rest, bits
    yield _LOAD, 0, 0, _ARGUMENTS + 8 * asked.argument
    for value in asked.values:
        yield _IF_ANY if asked.bits else _IF_EQUAL, _TO_REFUSED, 0, value
