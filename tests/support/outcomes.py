"""Batches that never were, as large and as hostile as one likes."""

from __future__ import annotations

from builder.batch.report import BUILT, CANCELLED, FAILED, UP_TO_DATE, Outcome, Part
from builder.tree.contents import Contents

HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'&\u202e\x1b[2J\udcff\n<svg onload=alert(2)>"


def contents(largest: dict[str, int] | None = None) -> Contents:
    named = largest or {"/usr/": 6000, "/usr/lib/": 5000, "/usr/lib/large.so": 4000, "/usr/bin": 900, "/etc/": 3000}
    return Contents(10_000, 12, 12_500, named)


def outcomes() -> list[Outcome]:
    """One of each kind of end; two share a layer."""
    base, top = Part("sha256:" + "a" * 64, 3 << 20), Part("sha256:" + "b" * 64, 1 << 20)
    return [
        Outcome(1, "oci:web", "disks/web.ext4", BUILT, 0, 8 << 20, "c" * 64, "uuid", 4.5, layers=(base, top),
                begun=0.5, ended=5.0, worker=1, attempts=1),
        Outcome(2, "oci:db", "disks/db.erofs", UP_TO_DATE, 0, 2 << 20, "d" * 64, "uuid", layers=(base,)),
        Outcome(4, "oci:cut", "disks/cut.ext4", FAILED, 3, seconds=2.0, error="layer 1 of 1: it is cut; pull it again",
                begun=0.5, ended=2.5, worker=2, attempts=2),
        Outcome(5, "oci:late", "disks/late.ext4", CANCELLED, 1),
    ]  # fmt: skip


def hostile() -> tuple[list[Outcome], dict[int, Contents]]:
    """Words that would be markup in each place where words may come from others."""
    part = Part("sha256:" + HOSTILE, 5)
    words = HOSTILE
    made = Outcome(1, words, f"disks/{words}", BUILT, 0, 5000, words, words, 1.0, notices=(words,), reason=words,
                   source=words, layers=(part, part), begun=0.0, ended=1.0, worker=1)  # fmt: skip
    failed = Outcome(2, words, f"disks/{words}2", FAILED, 1, error=words, begun=0.0, ended=1.0, worker=2)
    odd = Outcome(3, words, words, words, 77, error=words)
    named = {f"/{words}/": 9000, f"/{words}/{words}": 8000, "/no/parent": 5, "": 5, "/": 7, "/negative": -5}
    return [made, failed, odd], {1: contents(named), 2: contents(), 3: contents()}


def many(count: int) -> tuple[list[Outcome], dict[int, Contents]]:
    """As many images, each of ten layers, with contents as long as they get."""
    found, held = [], {}
    for number in range(1, count + 1):
        layers = tuple(Part(f"sha256:{each * (number if each > 6 else 1):064x}", each << 20) for each in range(1, 11))
        begun = number // 4 * 2.0
        found.append(
            Outcome(number, f"docker://registry.example/team/application-{number}:1.0", f"disks/app-{number}.ext4",
                    BUILT, 0, number << 20, f"{number:064x}", "01234567-89ab-8def-8123-456789abcdef", 1.9,
                    source=f"sha256:{number:064x}", layers=layers, begun=begun, ended=begun + 1.9,
                    worker=number % 4 + 1, attempts=1)
        )  # fmt: skip
        named: dict[str, int] = {}
        for directory in range(20):
            named[f"/usr/share/directory-{directory}/"] = 6000 - directory
            for file in range(5):
                named[f"/usr/share/directory-{directory}/file-number-{file}.data"] = 1000 - file
        whole = {"/usr/": 125_000, "/usr/share/": 122_000, **named}
        held[number] = Contents(130_000, 400, 140_000, whole)
    return found, held
