"""What a process gets that reads an image: the system and Python to read and run, and the places of its work.

It is taken from the thread that asks for it, and so from all that this one starts afterwards. Threads that were there
before keep their files, as the one that draws on the terminal; what comes from a network, another process fetches.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.sandbox import landlock, seccomp
from builder.sandbox.calls import give_up_capability
from builder.sandbox.landlock import CHANGE, MAKE_DEVICES, READ, REMOVE_DIR, RUN, Grant
from builder.sandbox.owned import note_confined
from builder.sandbox.tools import DEVICES, LINKER, SYSTEM, of_program

# Names, numbers and times; and what this process is told of itself, and of its machine, which marks work directories.
_BOOT = "/proc/sys/kernel/random/boot_id"
_FACTS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/proc/self", _BOOT)
_PACKAGE = Path(__file__).parents[1]
# Root's way to give a program that anybody runs what root may do, by an attribute of any file that it can name.
_SETFCAP = 31
# What it starts.
_PROGRAMS = ("sh", "mke2fs", "e2fsck", "mkfs.erofs", "fsck.erofs", "veritysetup")


def confine_process(
    readable: Sequence[str], changeable: Sequence[str], path: str, *, left: Sequence[str] = (), restores: bool = False
) -> None:
    """Give up all but these places; `path` is where programs are looked for.

    From the directories `left`, empty ones may be removed. No thread of it keeps the network. One that `restores` a
    tree gives files owners and modes, and makes device nodes in the places that may be changed. Raises OSError where
    the kernel lets us give up nothing.
    """
    change = CHANGE | (MAKE_DEVICES if restores else 0)
    places = [*((place, change) for place in changeable), *((place, REMOVE_DIR) for place in left)]
    landlock.restrict(_grants(readable, places, path))
    note_confined()
    if not restores:
        give_up_capability(_SETFCAP)
    if seccomp.is_there():
        owners = () if restores else (seccomp.OWNERS, seccomp.SET_ID)
        seccomp.refuse(seccomp.NETWORK, seccomp.SYSTEM, *owners, threads=True)


def _grants(readable: Sequence[str], places: Sequence[Grant], path: str) -> Iterator[Grant]:
    for place in SYSTEM:
        yield place, RUN
    for place in filter(_is_elsewhere, dict.fromkeys(path.split(":"))):
        yield place, RUN
        # What is installed beside a program, of which it may need more than itself.
        for name in ("lib", "lib64", "share"):
            yield os.path.join(os.path.dirname(place), name), RUN
    # One that is found may be a link to another place.
    found = (shutil.which(name, path=path) for name in _PROGRAMS)
    for program in filter(None, found):
        if _is_elsewhere(program):
            yield from of_program(program)
    for place in (*LINKER, *_FACTS, *readable, *filter(_is_elsewhere, _python())):
        yield place, READ
    yield from DEVICES
    yield from places


def _python() -> Iterator[str]:
    """List where modules come from: a build imports much of itself only when it needs it."""
    places = (sys.prefix, sys.base_prefix, sys.exec_prefix, str(_PACKAGE), *sys.path, *site.getsitepackages())
    yield from dict.fromkeys(places)


def _is_elsewhere(place: str) -> bool:
    """Tell whether a path is none that is granted with the system; each grant takes time."""
    # Part of the system may be a link itself, such as /usr/local to /var/usrlocal.
    return os.path.isabs(place) and not os.path.realpath(place).startswith(tuple(f"{each}/" for each in SYSTEM))
