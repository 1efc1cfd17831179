"""Landlock: a thread keeps, of files and networks, what it names, and all that it starts has no more.

Documentation/userspace-api/landlock.rst of the kernel. What is open stays usable, whatever it is; paths that are only
walked through, and what a file's owner and mode are, are not its business.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from builder.sandbox.calls import gain_no_privileges, system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

# LANDLOCK_ACCESS_FS_*: of files and directories.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << n for n in range(6, 13))
# Since versions 2, 3 and 5: moving from one directory to another, cutting short, and commands to devices.
_REFER, TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
CHANGE_FILE = WRITE_FILE | TRUNCATE
# All but devices: who makes the one of a drive may write that drive.
CHANGE = (
    READ
    | CHANGE_FILE
    | REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_SOCK
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER
)
MAKE_DEVICES = _MAKE_CHAR | _MAKE_BLOCK

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | _IOCTL_DEV
_FIRST = (1 << 13) - 1
_ADDED = {2: _REFER, 3: TRUNCATE, 5: _IOCTL_DEV}

# LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP, since version 4.
_NETWORK = 0b11
# LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL, since version 6.
_SOCKETS, _SIGNALS = 1, 2

# The first version in which files can be moved between directories at all, as all that is published is.
MOVES_KNOWN = 2

# A path, or what is open as a descriptor, and what may be done with it and with all below it.
Grant = tuple[str | int, int]


@cache
def version() -> int:
    """Tell which version of Landlock the kernel has and lets us use; 0: none."""
    with suppress(OSError):
        return system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return 0


def restrict(grants: Iterable[Grant], *, network: bool = False, free: int = 0) -> None:
    """Take from this thread, for ever, all that is not granted; a path that does not exist grants nothing.

    It signals no process outside, reaches no abstract socket, and without `network` no TCP port, as far as the kernel's
    version knows of these; rights that are `free` it keeps everywhere. Raises OSError.
    """
    known = version()
    handled = (_FIRST | sum(added for since, added in _ADDED.items() if since <= known)) & ~free
    networks = 0 if network else _NETWORK
    words = [handled, *([networks] if known >= 4 else []), *([_SOCKETS | _SIGNALS] if known >= 6 else [])]
    attributes = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words), 8 * len(words))
    rules = system_call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for place, rights in grants:
            _grant(rules, place, rights & handled)
        gain_no_privileges()
        system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _grant(rules: int, place: str | int, rights: int) -> None:
    try:
        fd = place if isinstance(place, int) else os.open(place, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # what a directory on the way keeps to itself, this thread has no way to either
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd), 12)
        try:
            system_call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
        except OSError as error:
            # A pipe has no place among files: nothing needs to be granted, and nothing is refused.
            if error.errno != errno.EBADFD:
                raise
    finally:
        if fd != place:
            os.close(fd)
