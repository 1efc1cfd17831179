"""System calls that do less than they are asked for, as on a disk that fills up or when a signal comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest


def cut_short(monkeypatch: pytest.MonkeyPatch, every: int) -> Callable[[], int]:
    """Have every n-th read, write and copy do half of what it should; return how to ask for the number of those."""
    made = 0

    def wrapped(call: Callable[..., Any], where: int) -> Callable[..., Any]:
        def half(*arguments: Any) -> Any:
            nonlocal made
            made += 1
            wanted = arguments[where]
            size = wanted if isinstance(wanted, int) else len(wanted)
            if made % every or size < 2:
                return call(*arguments)
            less = size // 2 if isinstance(wanted, int) else memoryview(wanted)[: size // 2]
            return call(*arguments[:where], less, *arguments[where + 1 :])

        return half

    for name, where in (("write", 1), ("pwrite", 1), ("pread", 1), ("copy_file_range", 2), ("sendfile", 3)):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name), where))
    return lambda: made // every


def fail_at(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], number: int, error: OSError) -> None:
    """Have the call of that number among those of these names raise `error`, and all that follow."""
    made = 0

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any) -> Any:
            nonlocal made
            made += 1
            if made >= number:
                raise error
            return call(*arguments)

        return failing

    for name in names:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
