"""Where an image's bytes are, as JSON: all directories and files, written piece by piece, for there may be millions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from builder.tree.history import LayerUse, Loss
from builder.tree.sums import Sums


def tree_json(facts: dict[str, Any], lists: Mapping[str, Iterable[dict[str, Any]]]) -> Iterator[bytes]:
    """Render one JSON object: `facts`, which are some, and `lists` whose objects are made one by one."""
    head = json.dumps(facts, indent=2)
    yield head.removesuffix("\n}").encode()
    for name, items in lists.items():
        yield f",\n  {json.dumps(name)}: [".encode()
        first = True
        for item in items:
            yield (b"\n    " if first else b",\n    ") + json.dumps(item).encode()
            first = False
        yield b"]" if first else b"\n  ]"
    yield b"\n}\n"


def directories(sums: Sums, depth: int | None) -> Iterator[dict[str, Any]]:
    """Describe every directory, or those down to a depth: `layers` has its bytes by layer, from 1."""
    for path, total in sums.directories(depth):
        yield {"path": _path(path), "size": total.size, "files": total.files, "layers": _layers(total.layers)}


def files(sums: Sums, most: int | None) -> Iterator[dict[str, Any]]:
    """Describe every file with content, or that many, the largest first."""
    for path, size, layer in sums.largest_files(sums.total.files if most is None else most):
        yield {"path": _path(path), "size": size, "layer": layer + 1}


def uses(layers: Iterable[LayerUse], digests: Iterable[str]) -> list[dict[str, Any]]:
    """Describe what each layer brought, and what of it is left."""
    return [
        {
            "digest": digest,
            "entries": layer.entries,
            "files": layer.files,
            "size": layer.brought,
            "wasted": layer.brought - layer.kept,
        }
        for layer, digest in zip(layers, digests, strict=True)
    ]


def losses(lost: Iterable[Loss], most: int | None) -> Iterator[dict[str, Any]]:
    """Describe what upper layers took away, or that much of it."""
    for loss in islice(lost, most):
        yield {
            "path": _path(loss.path),
            "by": loss.layer + 1,
            "how": "deleted" if loss.deleted else "replaced",
            "size": loss.size,
            "files": loss.files,
            "layers": _layers(loss.layers),
        }


def _path(path: bytes) -> str:
    return "/" + path.decode("utf-8", "surrogateescape")


def _layers(layers: dict[int, int]) -> dict[str, int]:
    return {str(number + 1): size for number, size in sorted(layers.items())}
