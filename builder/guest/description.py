"""What init is told, in the form in which it reads it: `/.rootfs-builder/description`.

The file is a sequence of strings, each ended by a NUL. The first is `rootfs-builder 1`, the version of the form; the
last is `end`; every one between is `KEY=VALUE`, where a KEY marked with * may come several times, in order:

    entrypoint*  cmd*   the program and its arguments: entrypoint, then cmd
    env*                a variable, NAME=VALUE
    cwd                 an absolute path, made when it is missing
    uid  gid  group*    numbers; group is a supplementary one
    stop                the number of the signal that asks the process to end
    takeover            present where the program is an init itself, and becomes process 1
    hostname            the machine's name
    nameserver*         an address for resolv.conf
    host*               a line for hosts
    write*              which of hosts, hostname, resolv.conf in /etc init writes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VERSION = "rootfs-builder 1"


@dataclass(frozen=True, slots=True)
class Description:
    """All that init is told. Texts may hold any character but NUL; `stop` is a signal's number on Linux."""

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
    nameservers: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

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
        lists = {"entrypoint": self.entrypoint, "cmd": self.cmd, "env": self.env, "group": self.groups}
        lists |= {"nameserver": self.nameservers, "host": self.hosts, "write": self.write}
        for key, values in lists.items():
            yield from ((key, value) for value in values)
        yield from (("cwd", self.cwd), ("uid", self.uid), ("gid", self.gid), ("stop", self.stop))
        if self.takeover:
            yield "takeover", "yes"
        if self.hostname:
            yield "hostname", self.hostname
