"""What init is told, as it reads it: `/.rootfs-builder/description`, or `/rb/description` in an initramfs.

The file is a sequence of strings, each ended by a NUL. The first is `rootfs-builder 2`, the version of the form; the
last is `end`; every one between is `KEY=VALUE`, where a KEY marked with * may come several times, in order:

    entrypoint*  cmd*   the program and its arguments: entrypoint, then cmd
    env*                a variable, NAME=VALUE
    cwd  volume*        absolute paths of directories, made when they are missing
    uid  gid  group*    numbers; group is a supplementary one
    stop                the number of the signal that asks the process to end
    takeover            present where the program is an init itself, and becomes process 1
    hostname            the machine's name
    hosts               present where init writes /etc/hosts: lines for it, before the one of the machine itself
    hostname-file       present where init writes /etc/hostname
    resolver            present where init writes /etc/resolv.conf: its content; empty is what ip= or DHCP say

At boot, the kernel command line has the last word: rb.cmd= (once for each argument), rb.env=, rb.hostname=. What is too
long for it, an initramfs has open as descriptor 9 when init starts: such words as they are, each ended by a NUL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VERSION = "rootfs-builder 2"


@dataclass(frozen=True, slots=True)
class Description:
    """All that init is told. Texts may hold any character but NUL; `stop` is a signal's number on Linux.

    `hosts` and `resolver` are contents of files of /etc, None for those that the machine need not be given.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    stop: int = 15
    takeover: bool = False
    hostname: str = ""
    hosts: str | None = None
    hostname_file: bool = False
    resolver: str | None = None
    volumes: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self.entrypoint + self.cmd

    def encode(self) -> bytes:
        """Return the file's content. Raises ValueError for a text with a NUL, which whoever read it has refused."""
        strings = [VERSION, *(f"{key}={value}" for key, value in self._settings()), "end"]
        # Whatever the locale is here; bytes that are no UTF-8 are as Python keeps them (PEP 383).
        encoded = [text.encode("utf-8", "surrogateescape") for text in strings]
        if any(b"\0" in text for text in encoded):
            raise ValueError("a description holds no NUL")
        return b"\0".join(encoded) + b"\0"

    def _settings(self) -> Iterator[tuple[str, object]]:
        words = {"entrypoint": self.entrypoint, "cmd": self.cmd, "env": self.env, "volume": self.volumes}
        for key, values in (*words.items(), ("group", self.groups)):
            yield from ((key, value) for value in values)
        yield from (("cwd", self.cwd), ("uid", self.uid), ("gid", self.gid), ("stop", self.stop))
        if self.takeover:
            yield "takeover", "yes"
        if self.hostname:
            yield "hostname", self.hostname
        if self.hosts is not None:
            yield "hosts", self.hosts
        if self.hostname_file:
            yield "hostname-file", "yes"
        if self.resolver is not None:
            yield "resolver", self.resolver
