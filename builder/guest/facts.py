"""What a disk boots, as metadata and Python tell it."""

from __future__ import annotations

import msgspec


class Resolved(msgspec.Struct, frozen=True, rename="camel"):
    """What only the image's own files say of its process: it is kept with the disk, so that they are read once.

    `groups` begin with the primary one; `stop_signal` is a number; `writes` are the files of /etc that init writes.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    hostname: str
    stop_signal: int
    takeover: bool
    writes: tuple[str, ...]


class Initrd(msgspec.Struct, frozen=True):
    """An initramfs that was written with a disk; its `path` in metadata is relative to them, its sha256 is in hex."""

    path: str
    size: int
    sha256: str


class GuestFacts(Resolved, frozen=True, rename="camel"):
    """What runs in the guest, and as whom; `init` is the digest of the program that starts it.

    `argv`, `env` and `working_dir` are as the process gets them, `user` as the image or the caller says it, `ports`
    those that the image exposes. With `takeover` the process is an init itself, and becomes process 1.
    """

    init: str
    initrd: Initrd | None
    argv: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    ports: tuple[str, ...]
