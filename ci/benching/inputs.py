"""Images to measure with, made of nothing but their own names: the same bytes on every machine."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import zstandard

_OCI = "application/vnd.oci.image."
_PIECE = 1 << 20
_TIME = 1_700_000_000

# A file: its path, its size in bytes, or None for a whiteout.
Entry = tuple[str, int | None]


def small() -> Iterator[list[Entry]]:
    """Yield three layers: 200 MB in 9,000 files, of which the second replaces and the third removes some."""
    sizes = random.Random("small")

    def some(count: int, start: int = 0) -> list[Entry]:
        return [(_path(number, 50), int(sizes.paretovariate(1.2) * 5000) % 2_000_000) for number in range(start, count)]

    yield some(8000)
    yield some(1000, 500) + some(9000, 8000)
    yield [(_whiteout(_path(number, 50)), None) for number in range(2000, 2500)]


def many() -> Iterator[list[Entry]]:
    """Yield two layers: 300,000 files of 1 to 8 KB, in directories of 300."""
    sizes = random.Random("many")
    for half in range(2):
        yield [
            (_path(number, 300), sizes.randint(1000, 8000)) for number in range(half * 150_000, (half + 1) * 150_000)
        ]


def large() -> Iterator[list[Entry]]:
    """Yield four layers of five files each: 6 GB in 20 files."""
    for layer in range(4):
        yield [(f"srv/large-{layer}-{number}", 300_000_000) for number in range(5)]


def entries(count: int, layers: int = 1) -> Iterator[list[Entry]]:
    """Yield so many files of 100 bytes, in directories of 100, in so many layers."""
    for layer in range(layers):
        yield [(_path(number, 100), 100) for number in range(count * layer // layers, count * (layer + 1) // layers)]


INPUTS: dict[str, Callable[[], Iterator[list[Entry]]]] = {"small": small, "many": many, "large": large}
COMPRESSIONS = ("gzip", "zstd")


def _path(number: int, each: int) -> str:
    return f"usr/share/d{number // each:06}/file-{number:07}"


def _whiteout(path: str) -> str:
    directory, _, name = path.rpartition("/")
    return f"{directory}/.wh.{name}"


def content() -> bytes:
    """Make 32 MiB of what files are cut from: three quarters words, the rest what no compression makes smaller."""
    words = [hashlib.sha256(str(number).encode()).hexdigest()[: 3 + number % 9] for number in range(2000)]
    text = " ".join(random.Random("content").choices(words, k=100_000)).encode()
    pieces = []
    for number in range(512):
        start = number * 911
        pieces += [text[start : start + 49152].ljust(49152, b"\n"), hashlib.shake_128(b"%d" % number).digest(16384)]
    return b"".join(pieces)


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Blob:
    """A file that a layer is written to, compressed; counts and hashes on the way."""

    def __init__(self, file: IO[bytes], compression: str) -> None:
        self._file = file
        self._compressor: _Compressor = (
            zlib.compressobj(6, wbits=31) if compression == "gzip" else zstandard.ZstdCompressor(3).compressobj()
        )
        self.packed, self.plain = hashlib.sha256(), hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write plain bytes."""
        self.plain.update(data)
        self._put(self._compressor.compress(data))
        return len(data)

    def close(self) -> None:
        """Write what is left."""
        self._put(self._compressor.flush())

    def _put(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += self._file.write(data)


class _Cut:
    """What tarfile reads of a file: so many bytes of a pool that goes round, from a place that its name decides."""

    def __init__(self, pool: bytes, name: str) -> None:
        self._pool = pool
        self._place = zlib.crc32(name.encode()) % len(pool)

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        data = b""
        while len(data) < size:
            data += (piece := self._pool[self._place : self._place + size - len(data)])
            self._place = (self._place + len(piece)) % len(self._pool)
        return data


def _write_layer(target: _Blob, layer: Sequence[Entry], pool: bytes) -> None:
    known: set[str] = set()
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_PIECE) as tar:  # type: ignore[call-overload]
        for path, size in layer:
            above = path.split("/")[:-1]
            for depth in range(1, len(above) + 1):
                name = "/".join(above[:depth])
                if name not in known:
                    known.add(name)
                    member = tarfile.TarInfo(name)
                    member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, _TIME
                    tar.addfile(member)
            member = tarfile.TarInfo(path)
            member.size, member.mtime = size or 0, _TIME
            tar.addfile(member, _Cut(pool, path))
    target.close()


@dataclass(slots=True)
class _Layout:
    """An OCI layout that is being written."""

    directory: Path

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        """Write a document; returns its descriptor."""
        name = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs/sha256" / name).write_bytes(data)
        return {"mediaType": _OCI + kind, "digest": f"sha256:{name}", "size": len(data)}

    def layer(self, layer: Sequence[Entry], pool: bytes, compression: str) -> tuple[dict[str, Any], str]:
        """Write a layer; returns its descriptor and diff_id."""
        draft = self.directory / "draft"
        with draft.open("wb") as file:
            blob = _Blob(file, compression)
            _write_layer(blob, layer, pool)
        name = blob.packed.hexdigest()
        draft.rename(self.directory / "blobs/sha256" / name)
        descriptor = {"mediaType": f"{_OCI}layer.v1.tar+{compression}", "digest": f"sha256:{name}", "size": blob.size}
        return descriptor, f"sha256:{blob.plain.hexdigest()}"


def write_image(directory: Path, layers: Iterator[list[Entry]], compression: str) -> str:
    """Write an OCI layout at a directory that is not there; returns the reference of its one image."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=directory.parent, prefix="new."))
    try:
        layout = _Layout(scratch)
        (scratch / "blobs/sha256").mkdir(parents=True)
        pool = content()
        made = [layout.layer(layer, pool, compression) for layer in layers]
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/none"]}}
        config |= {"rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]}}
        document = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}manifest.v1+json",
            "config": layout.blob(json.dumps(config).encode(), "config.v1+json"),
            "layers": [descriptor for descriptor, _ in made],
        }
        manifest = layout.blob(json.dumps(document).encode(), "manifest.v1+json")
        manifest |= {"annotations": {"org.opencontainers.image.ref.name": "bench"}}
        (scratch / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (scratch / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        scratch.chmod(0o755)
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch)
        raise
    return f"oci:{directory}:bench"
