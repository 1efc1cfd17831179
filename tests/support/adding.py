"""Additions applied to a small tree in memory, and what came of it in plain lines."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.entries import directory, file, merged, symlink

from builder.additions.addition import Change
from builder.additions.apply import Build, apply_changes
from builder.additions.survey import survey
from builder.errors import BuilderError
from builder.layers.account import Account
from builder.limits import Limits
from builder.tree.nodes import Directory, File, Symlink
from builder.tree.spool import open_spool
from builder.tree.tree import Tree


def image() -> Tree:
    """A tree as many distributions have it: what was at the top moved to /usr, and a /tmp for all."""
    return merged(
        [
            directory("usr/lib"),
            directory("usr/bin", mode=0o751, uid=7, gid=8),
            symlink("lib", "usr/lib"),
            symlink("dangling", "nowhere"),
            directory("tmp", mode=0o1777),
            file("etc/motd"),
        ]
    )


def write(path: str, data: bytes | str = b"", mode: int = 0o644) -> str:
    """Write a file, and the directories above it; return its path."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data if isinstance(data, bytes) else data.encode())
    place.chmod(mode)
    return path


@dataclass(frozen=True)
class Added:
    """A tree to which something was added: its names, and what is at some of them."""

    tree: Tree
    content: dict[str, bytes]

    def lines(self, below: str = "") -> list[str]:
        """`PATH MODE UID:GID`, with a symlink's target or a hardlink's first name behind it."""
        first: dict[int, str] = {}
        lines = []
        for raw, node in self.tree.walk():
            path = os.fsdecode(raw)
            known = first.setdefault(id(node), path)
            tail = f" -> {os.fsdecode(node.target)}" if isinstance(node, Symlink) else ""
            tail = f" = {known}" if known != path else tail
            end = "/" if isinstance(node, Directory) else ""
            if path.startswith(below):
                lines.append(f"{path}{end} {node.mode:o} {node.uid}:{node.gid}{tail}")
        return lines


def add(*changes: Change, tree: Tree | None = None, limits: Limits | None = None, mtime_ns: int = 0) -> Added:
    """Apply changes to `image()`, or to a tree."""
    tree = tree or image()
    with tempfile.TemporaryDirectory() as place, open_spool(Path(place)) as spool:
        apply_changes(Build(tree, spool, Account(limits or Limits()), mtime_ns), survey(changes, Limits()))
        content = {
            os.fsdecode(path): spool.read(node.content)
            for path, node in tree.walk()
            # What was there before says its version in its place.
            if isinstance(node, File) and node.content.size < 1 << 20
        }
    return Added(tree, content)


def refused(*changes: Change, status: int = 1, limits: Limits | None = None) -> str:
    """Apply changes that end in an error of this status; return its text."""
    with pytest.raises(BuilderError) as caught:
        add(*changes, limits=limits)
    assert caught.value.exit_status == status
    assert "\n" not in str(caught.value)
    return str(caught.value)
