"""Where a reference says that the store is: `[DRIVER@ROOT+RUNROOT:OPTIONS]NAME` (containers-transports(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass

from builder.errors import InvalidReference
from builder.words import quoted

OVERLAY = "overlay"
# The options that name further stores; the driver's name may stand before them.
_STORES = frozenset(("imagestore", "additionalimagestore"))


@dataclass(frozen=True, slots=True)
class Place:
    """Stores that belong together: the `root` that is written to, further ones that are only read, their driver.

    `driver` is None where nobody says; `origin` tells users what named the root.
    """

    root: str
    additional: tuple[str, ...] = ()
    driver: str | None = None
    origin: str = "the reference"


def split_place(text: str, reference: str) -> tuple[Place | None, str]:
    """Split off the store before a name; None where there is none. Raises InvalidReference for `reference`.

    The run root and options other than those that name stores say nothing about how to read.
    """
    if not text.startswith("["):
        return None, text
    inside, bracket, name = text[1:].partition("]")
    if not bracket:
        raise InvalidReference(reference, "has no ] after the store; write [overlay@ROOT]NAME")
    driver, at, rest = inside.partition("@")
    if not at:
        driver, rest = "", inside
    elif not driver:
        raise InvalidReference(reference, "names no driver before the @; write [overlay@ROOT]NAME")
    rest, _, options = rest.partition(":")
    root, _, run_root = rest.partition("+")
    for path in (root, run_root or "/"):
        if not os.path.isabs(path):
            raise InvalidReference(reference, f"the store's path {quoted(path)} is not absolute")
    return Place(root, stores_of(options.split(",")), known_driver(driver)), name


def known_driver(name: str) -> str | None:
    """Give a driver its one name; None for no name."""
    return OVERLAY if name == "overlay2" else name or None


def stores_of(options: list[str]) -> tuple[str, ...]:
    """Find the additional stores among a driver's options, each `KEY=VALUE` or `DRIVER.KEY=VALUE`."""
    pairs = (option.partition("=") for option in options)
    return tuple(value for key, _, value in pairs if value and key.rpartition(".")[2].lower() in _STORES)
