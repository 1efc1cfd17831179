"""The kernel command line (admin-guide/kernel-parameters), and the words on it that init reads (guest/init).

Words are apart by spaces. A word with a space stands in double quotes, which the kernel takes away; in values of `rb.`
options init reads %XX as a byte in hexadecimal, so that quotes, newlines and anything else can be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from builder.errors import UsageError
from builder.words import quoted

INIT = "/.rootfs-builder/init"

# How Linux calls the first disk.
ROOT_DISK = "/dev/vda"

# COMMAND_LINE_SIZE of x86 and arm64; the kernel cuts off what is longer, in silence.
MAX_LENGTH = 2047

_UNSAFE = re.compile(rb"[^A-Za-z0-9_.,:;/@+=<>()\[\]{}*?!$&|^~#'`\\-]")


def root_words(format_: str, writable: bool = False, init: str | None = INIT, table: str | None = None) -> list[str]:
    """Return the words that mount ROOT_DISK, of that format, as the root, and start `init`, if it is there.

    With `table`, the root is what the device mapper makes of that disk, as with dm-verity; kernels whose device mapper
    is built in do that themselves (admin-guide/device-mapper/dm-init), init does it for others from an initramfs.
    """
    words = [f'dm-mod.create="rootfs,,,ro,{table}"', "root=/dev/dm-0"] if table else [f"root={ROOT_DISK}"]
    words += [f"rootfstype={format_}", "rw" if writable else "ro"]
    return [*words, f"init={init}"] if init else words


def guest_word(name: str, value: str) -> str:
    """Return `rb.NAME=VALUE` so that init reads exactly that value."""
    escaped = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], value.encode("utf-8", "surrogateescape"))
    return f"rb.{name}={escaped.decode('ascii')}"


def kernel_line(words: Iterable[str], append: Sequence[str] = ()) -> str:
    """Join words, and what the user appends as it is. Raises UsageError for what the kernel would cut or break."""
    line = " ".join([*words, *append])
    if not (line.isascii() and line.isprintable()):
        raise UsageError(f"{quoted(line)} is no kernel command line, which is ASCII; write other bytes as %XX")
    if len(line) > MAX_LENGTH:
        raise UsageError(f"the kernel command line has {len(line)} bytes, and kernels take {MAX_LENGTH}")
    return line
