"""The kernel modules that a machine needs before it sees its disk, each behind those that it depends on."""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from builder.denied import unless_denied
from builder.errors import UsageError
from builder.guest.host_files import MAX_SIZE, HostFileRefused, read_host_file

# The device mapper, and what dm-verity hashes with by the names of older and newer kernels.
MAPPER = ("dm_verity", "sha256_generic", "sha256")

# Drivers of the devices that virtual machines have, then the file systems. What a kernel has built in has no file.
WANTED = (
    *("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtio_console"),
    *("ext4", "erofs", "overlay", *MAPPER, "button", "evdev"),
)

# What ends a module that is signed, and before it struct module_signature, whose last field is the signature's length.
_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8xI")

_WHAT = "a kernel module"


def _until_its_end(stream: Any, data: bytes) -> bytes:
    content = stream.decompress(data, MAX_SIZE + 1)
    if not stream.eof and len(content) <= MAX_SIZE:
        raise EOFError
    return bytes(content)


def _zstd(data: bytes) -> bytes:
    if zstandard.frame_content_size(data) > MAX_SIZE:
        raise EOFError
    return zstandard.ZstdDecompressor().decompress(data, MAX_SIZE + 1)


# In bytes: twice what `xz -9` needs.
_XZ_MEMORY = 136 << 20

_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".ko": bytes,
    ".xz": lambda data: _until_its_end(lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), data),
    ".gz": lambda data: _until_its_end(zlib.decompressobj(31), data),
    ".zst": _zstd,
}


@dataclass(frozen=True, slots=True)
class Module:
    """A kernel module: its name with underscores, the file that holds it, and what the kernel loads."""

    name: str
    path: Path
    content: bytes


def load_order(directory: Path, wanted: tuple[str, ...] = WANTED) -> Iterator[Module]:
    """Yield the modules below `directory`, as `/lib/modules/VERSION`, in an order to load them in.

    Raises UsageError where there are none, which is more likely a wrong directory than a kernel without modules, and
    HostFileRefused for one that cannot be read, and MissingRequirement for a directory that may not be.
    """
    try:
        # What may not be read, rglob takes for empty.
        os.listdir(directory)
    except OSError as error:
        unless_denied(error, directory)
    files = {
        path.name.partition(".ko")[0].replace("-", "_"): path
        for path in sorted(directory.rglob("*.ko*"))
        if path.suffix in _DECOMPRESS
    }
    if not files:
        raise UsageError(
            f"{directory}: there are no kernel modules here; name a directory such as /lib/modules/VERSION"
        )
    done: set[str] = set()
    waiting = [name for name in reversed(wanted) if name in files]
    contents: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        if name not in contents:
            contents[name] = _read(files[name])
            first = [other for other in _dependencies(contents[name]) if other in files and other not in contents]
            if first:
                waiting += [name, *first]
                continue
        done.add(name)
        yield Module(name, files[name], contents[name])


def unsigned(module: bytes) -> bytes:
    """Return a module without the signature behind it (admin-guide/module-signing), which kernels need not have."""
    content, mark, rest = module.rpartition(_SIGNED)
    if not mark or rest or len(content) < _SIGNATURE_INFO.size:
        return module
    length = _SIGNATURE_INFO.unpack_from(content, len(content) - _SIGNATURE_INFO.size)[-1]
    return content[: max(0, len(content) - _SIGNATURE_INFO.size - length)]


def _read(path: Path) -> bytes:
    data = read_host_file(path, _WHAT)
    try:
        content = _DECOMPRESS[path.suffix](data)
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise HostFileRefused(path, _WHAT, "it cannot be decompressed; install the kernel again") from error
    if len(content) > MAX_SIZE:
        raise HostFileRefused(path, _WHAT, f"it has more than {MAX_SIZE >> 20} MiB; name another directory")
    if not content.startswith(b"\x7fELF"):
        raise HostFileRefused(path, _WHAT, "it is no ELF file; install the kernel again")
    return content


def _dependencies(module: bytes) -> list[str]:
    """Read the `depends=` record of a module's .modinfo section, which is there also where modules.dep is not."""
    _, found, rest = module.partition(b"\0depends=")
    value = rest.partition(b"\0")[0] if found else b""
    return [name.replace("-", "_") for name in value.decode("ascii", "replace").split(",") if name]
