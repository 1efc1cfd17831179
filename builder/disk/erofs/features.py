"""What the installed erofs-utils can do, and whether it is enough for what is asked of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.disk.filesystem import Compression
from builder.errors import MissingRequirement
from builder.tool import ask_tool, tool_version

# The first erofs-utils that has it; MicroLZMA needs liblzma 5.4 at build time too. Deflate came with 1.7, but up to
# 1.8.6 some of its streams cannot be read ("fix maximum huffman length for kite-deflate").
_SINCE = {"lz4": (1, 0), "lz4hc": (1, 0), "lzma": (1, 4), "deflate": (1, 8, 7), "zstd": (1, 8)}


@dataclass(frozen=True, slots=True)
class Features:
    """The installed mkfs.erofs: its version, its compressors, and the options that came over the years.

    `tar`: it reads a tar from standard input (1.7); `block_size`: it has `-b` (1.7); `workers`: the number of its
    threads can be set (1.8); `name_filter`: it adds a Bloom filter over the names of extended attributes (1.7).
    """

    version: str
    compressors: frozenset[str]
    tar: bool
    block_size: bool
    workers: bool
    name_filter: bool


def installed_features() -> Features:
    """Ask the installed tools; raises ToolMissing."""
    completed = ask_tool(["mkfs.erofs", "--help"])
    # Up to 1.7 it goes to standard error.
    text = completed.stdout + completed.stderr
    # mkfs.erofs 1.5 has no option for its version; both come from one package.
    version = tool_version("fsck.erofs")
    return Features(
        version=version,
        compressors=frozenset(
            name
            for name, since in _SINCE.items()
            if is_at_least(version, *since) and re.search(rf"(^\s+|[:,] ){name}\s*($|,)", text, re.MULTILINE)
        ),
        tar="--tar=" in text,
        block_size=" -b#" in text,
        workers="--workers=" in text,
        # An extended option, which the help does not list.
        name_filter=is_at_least(version, 1, 7),
    )


def is_at_least(version: str, *wanted: int) -> bool:
    """Tell whether a version such as `1.8.6` is `wanted`, such as `1, 8`, or newer."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[: len(wanted)]) >= wanted


def check_compression(compression: Compression, features: Features) -> None:
    """Refuse a compression that the installed tool lacks; raises MissingRequirement."""
    if compression.algorithm not in features.compressors:
        raise MissingRequirement(
            f"mkfs.erofs {features.version} has no usable {compression.algorithm}: install erofs-utils "
            f"{'.'.join(map(str, _SINCE[compression.algorithm]))} or newer, built with it, or choose another "
            f"compression (this one has {', '.join(sorted(features.compressors)) or 'none'})"
        )
