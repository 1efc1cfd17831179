"""An initramfs that finds the disk and starts what it holds: init, drivers, and perhaps a description of its own."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from builder.guest.cpio import Member, cpio, directory, file
from builder.guest.modules import Module, load_order, unsigned

# Where init looks for what belongs to the initramfs (init.h).
_PLACE = "rb"


def initramfs(init: bytes, modules: Iterable[Module] = (), description: bytes | None = None) -> bytes:
    """Return a gzip-compressed newc archive with `init` as /init, which loads `modules` in their order.

    With a `description`, init runs that; without one it starts the disk's own init.
    """
    loaded = ((module.name, module.content) for module in modules)
    return _compressed(cpio(_members(init, loaded, description)))


def quick_initramfs(init: bytes, modules: Path | None, wanted: tuple[str, ...], signed: bool = False) -> bytes:
    """Return an initramfs for one kind of machine and disk: no module but `wanted`, and nothing to decompress.

    An emulated processor takes a tenth of a second to see whether a module's signature is right, so modules have none
    unless they are to be `signed`, for kernels that insist.
    """
    found = () if modules is None else load_order(modules, wanted)
    loaded = ((module.name, module.content if signed else unsigned(module.content)) for module in found)
    return b"".join(cpio(_members(init, loaded)))


def options_archive(args: Iterable[str], env: Iterable[str]) -> bytes:
    """Return an archive to put behind an initramfs: `args` take the place of Cmd, `env` are further variables.

    The kernel unpacks concatenated archives one after another, so one initramfs serves many boots.
    """
    words = [f"rb.cmd={word}" for word in args] + [f"rb.env={word}" for word in env]
    content = b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
    return _compressed(cpio([directory(_PLACE), file(f"{_PLACE}/options", content)]))


def _members(init: bytes, modules: Iterable[tuple[str, bytes]], description: bytes | None = None) -> Iterator[Member]:
    for name in ("dev", "proc", "sys", "root", _PLACE, f"{_PLACE}/modules"):
        yield directory(name)
    yield Member("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield file("init", init, 0o755)
    names = []
    for name, content in modules:
        names.append(name)
        yield file(f"{_PLACE}/modules/{name}.ko", content)
    yield file(f"{_PLACE}/modules/order", "".join(f"{name}.ko\n" for name in names).encode())
    if description is not None:
        yield file(f"{_PLACE}/description", description)


def _compressed(pieces: Iterable[bytes]) -> bytes:
    # gzip, since every kernel that can unpack anything unpacks it; wbits 31 writes no name and no time.
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([*(compressor.compress(piece) for piece in pieces), compressor.flush()])
