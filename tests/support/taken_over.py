"""The command, taken over in its midst: `python -m support.taken_over MODULE:NAME HOME PORT PROCESS WORDS`.

When it comes to call NAME of MODULE, all that support/escaping.py knows is tried from there first, and what came of it
goes to standard output as a line of JSON; then it goes on with its work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from support import escaping

from builder.__main__ import main
from builder.errors import BuilderError
from builder.events import ignore
from builder.registry import RegistryAccess
from builder.registry.fetcher import running_fetcher


def ask_another() -> None:
    """Have what fetches, if anything does, speak to a registry that nobody named; an error if it would."""
    if (fetcher := running_fetcher()) is not None:
        with suppress(BuilderError):
            fetcher.open("127.0.0.1:1", "another", RegistryAccess(), ignore)
            print("error: another repository was opened", file=sys.stderr)


def taken_over(work: Callable[..., Any], words: list[str]) -> Callable[..., Any]:
    def escape(*given: Any, **named: Any) -> Any:
        nonlocal words
        if words:
            kept, sys.argv, words = sys.argv, ["escaping", *words], []
            escaping.main()
            sys.argv = kept
            sys.stdout.flush()
            ask_another()
        return work(*given, **named)

    return escape


if __name__ == "__main__":
    place, home, port, process, *said = sys.argv[1:]
    module, _, name = place.partition(":")
    # A descriptor that it was handed: any.
    handed = os.open(os.devnull, os.O_RDWR)
    there = import_module(module)
    setattr(there, name, taken_over(getattr(there, name), [home, port, str(handed), process]))
    sys.argv = ["rootfs-builder", *said]
    main()
