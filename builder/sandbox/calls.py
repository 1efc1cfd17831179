"""System calls that Python does not know, and what they answer."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)

_SET_NO_NEW_PRIVS = 38
# _LINUX_CAPABILITY_VERSION_3: 64 capabilities, in two words of each set.
_CAPABILITIES = 0x20080522


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call and return what it returns. Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_word, arguments)))


def process_control(option: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call prctl(2), whose arguments that are not given are 0. Raises OSError."""
    return _checked(_LIBC.prctl(ctypes.c_int(option), *map(_word, [*arguments, 0, 0, 0, 0][:4])))


def gain_no_privileges() -> None:
    """From now on, no program that this thread starts gets more privileges than it has (no_new_privs)."""
    process_control(_SET_NO_NEW_PRIVS, 1)


def give_up_capability(number: int) -> None:
    """Take a capability from this thread, if it has it (capabilities(7), capset(2)). Raises OSError."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES, 0), 8)
    sets = ctypes.create_string_buffer(24)
    _checked(_LIBC.capget(header, sets))
    words = list(struct.unpack("=6I", sets.raw))
    # Effective, permitted, inheritable.
    for at in range(number // 32 * 3, number // 32 * 3 + 3):
        words[at] &= ~(1 << number % 32)
    _checked(_LIBC.capset(header, ctypes.create_string_buffer(struct.pack("=6I", *words), 24)))


def _word(argument: Any) -> Any:
    # As wide as a register: C functions of any number of arguments do not say how wide each is.
    return argument if isinstance(argument, ctypes.Array) else ctypes.c_ulong(argument or 0)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
