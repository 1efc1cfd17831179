"""Changes to inputs of parsers, at random: bytes and words of any input, values of a document, headers of a tar."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from support.tars import BLOCK, GNU, V7, sealed

# In bytes: how large the parts of a disk are that hold something or nothing.
_BLOCK = 1024
Mutate = Callable[[bytes, random.Random], bytes]

_ODD: tuple[bytes, ...] = (
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b" ", b'"', b"\\", b"/", b"..", b"\xff\xff", b"\0\0\0\0", b"\xff" * 8),
    *(b"\0" * 64, b"\xe2\x80\xae", b"\xed\xa0\x80", b"%00", b"{", b"[", b"]", b"=", b":", b",", b"\r\n", b"1" * 5000),
)
_NUMBERS: tuple[bytes, ...] = (
    *(b"0", b"-1", b"1", b"1e999", b"0x10", b"255", b"65536", b"2147483648", b"4294967296", b"1.5", b"nan", b"007"),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"9" * 40, b"9" * 5000),
)
_WORDS = re.compile(rb"[A-Za-z0-9_.+-]+")
_NUMBER = re.compile(rb"[0-9]+")
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 1.5, 1e308, float("nan")),
    *("", "\0", "a" * 5000),
    *("\ud800", "\udcff", "..", "/", "-", " ", "\n", "\u202e", "%s", "sha256:", "sha256:" + "0" * 64, "linux/amd64"),
    *([], {}, [None], [[]], {"": None}, {"a": {"a": {"a": []}}}, ["x"] * 300, "2" * 4301),
)
# In bytes: what a list becomes at most by being said again.
_MUCH = 4 << 20
_DEEP = (b"[" * 3000, b'{"a":' * 3000, b"[" * 200_000, b"(" * 3000, b"a." * 3000, b'"' * 3000, b"{" * 100_000)


def of_bytes(data: bytes, chosen: random.Random) -> bytes:
    """Change a few places of any input."""
    changed = bytearray(data)
    for _ in range(chosen.choice((1, 1, 1, 2, 3, 8))):
        _BYTES[chosen.randrange(len(_BYTES))](changed, chosen)
    return bytes(changed)


def of_text(data: bytes, chosen: random.Random) -> bytes:
    """Change words, numbers and lines of a text, or its bytes."""
    for _ in range(chosen.choice((1, 1, 2, 3))):
        data = chosen.choice((_number, _number, _word, _line, of_bytes, of_bytes))(data, chosen)
    return data


def of_json(data: bytes, chosen: random.Random) -> bytes:
    """Change values and keys of a document, or what is said of its text."""
    if chosen.random() < 0.25:
        return of_text(data, chosen)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return of_text(data, chosen)
    try:
        for _ in range(chosen.choice((1, 1, 2, 3))):
            document = _value(document, chosen)
        # Halves of characters stay what they are: escapes.
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return data


def of_tar(data: bytes, chosen: random.Random) -> bytes:
    """Change fields of headers, mostly with the checksum made right again; blocks; or bytes."""
    changed = bytearray(data)
    for _ in range(chosen.choice((1, 1, 2, 4))):
        if len(changed) < BLOCK:
            break
        start = chosen.randrange(len(changed) // BLOCK) * BLOCK
        block = bytearray(changed[start : start + BLOCK])
        is_header = block[257:262] == b"ustar" or block[148:156].strip(b"\0 ").isdigit()
        kind = chosen.random()
        if kind < 0.1:
            changed[start : start + BLOCK] = b"" if kind < 0.05 else bytes(block) * 2
            continue
        at = chosen.choice(_FIELDS) if is_header and kind < 0.8 else chosen.randrange(BLOCK)
        value = chosen.choice(_FIELD_VALUES) if kind < 0.7 else chosen.randbytes(chosen.randrange(1, 13))
        value = value[: BLOCK - at]
        block[at : at + len(value)] = value
        changed[start : start + BLOCK] = sealed(bytes(block)) if is_header and chosen.random() < 0.8 else block
    if chosen.random() < 0.1:
        del changed[chosen.randrange(len(changed) + 1) :]
    return bytes(changed) if chosen.random() < 0.8 else _number(bytes(changed), chosen)


@lru_cache(maxsize=64)
def _filled(data: bytes) -> list[int]:
    blocks = range(0, len(data), _BLOCK)
    return [at for at in blocks if data.count(0, at, at + _BLOCK) != len(data[at : at + _BLOCK])] or [0]


def of_structures(data: bytes, chosen: random.Random) -> bytes:
    """Change numbers of a few bytes, and copy some from elsewhere, where there is more than zeros; the size stays."""
    changed = bytearray(data)
    blocks = _filled(data)
    for _ in range(chosen.choice((1, 1, 1, 2, 4, 16))):
        # The first of them are what the others hang on.
        start = chosen.choice(blocks[:8] if chosen.random() < 0.3 else blocks)
        position = start + chosen.randrange(_BLOCK)
        new = chosen.choice((*_ODD[:13], chosen.randbytes(1), chosen.randbytes(1), chosen.randbytes(4)))
        if chosen.random() < 0.3:
            other = chosen.choice(blocks)
            position, new = position // 32 * 32, data[other : other + 32]
        changed[position : position + len(new)] = new
    return bytes(changed[: len(data)])


_FIELDS = (0, 100, 108, 116, 124, 128, 136, 148, 156, 157, 257, 263, 329, 345, 357, 386, 398, 482, 483, 508)
_FIELD_VALUES = (
    *(b"\0", b"0", b"7777777", b"00000001000\0", b"00000000777\0", b"\x80" + bytes(7) + b"\x00\x02\x00\x00", b"/"),
    *(b"1", GNU, b"ustar\x0000", b"ustar", V7, b"-1", b" ", b"\xff" * 12, b"9", b"=", b"77777777777\0", b"../"),
    *(b"\x80" * 12, *(bytes([flag]) for flag in b"\x00012345678SxgLKADMNVX")),
)


def _flip(data: bytearray, chosen: random.Random) -> None:
    if data:
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)


def _overwrite(data: bytearray, chosen: random.Random) -> None:
    at, new = chosen.randrange(len(data) + 1), chosen.choice((*_ODD, chosen.randbytes(chosen.randrange(1, 9))))
    data[at : at + len(new)] = new


def _insert(data: bytearray, chosen: random.Random) -> None:
    at = chosen.randrange(len(data) + 1)
    data[at:at] = chosen.choice((*_ODD, *_NUMBERS, chosen.randbytes(chosen.randrange(1, 9))))
    if chosen.random() < 0.01:
        data[at:at] = chosen.choice(_DEEP)


def _delete(data: bytearray, chosen: random.Random) -> None:
    at = chosen.randrange(len(data) + 1)
    del data[at : at + chosen.choice((1, 2, 4, 16, 64, 512))]


def _copy(data: bytearray, chosen: random.Random) -> None:
    start, at = chosen.randrange(len(data) + 1), chosen.randrange(len(data) + 1)
    data[at:at] = data[start : start + chosen.choice((1, 4, 16, 64, 512))] * chosen.choice((1, 1, 2, 50))


def _cut(data: bytearray, chosen: random.Random) -> None:
    if chosen.random() < 0.3:
        del data[chosen.randrange(len(data) + 1) :]


_BYTES = (_flip, _flip, _overwrite, _overwrite, _insert, _delete, _copy, _cut)


def _number(data: bytes, chosen: random.Random) -> bytes:
    return _replaced(data, _NUMBER, chosen.choice(_NUMBERS), chosen)


def _word(data: bytes, chosen: random.Random) -> bytes:
    words = [match[0] for match in _WORDS.finditer(data)] or [b""]
    return _replaced(data, _WORDS, chosen.choice((*_ODD, chosen.choice(words), chosen.choice(words))), chosen)


def _replaced(data: bytes, pattern: re.Pattern[bytes], new: bytes, chosen: random.Random) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data + new
    match = chosen.choice(found)
    return data[: match.start()] + new + data[match.end() :]


def _line(data: bytes, chosen: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chosen.randrange(len(lines))
    lines[at : at + chosen.randrange(2)] = [chosen.choice(lines)] * chosen.choice((0, 1, 2))
    return b"\n".join(lines)


def _value(document: object, chosen: random.Random) -> object:
    """Change one value at random, at any depth."""
    if isinstance(document, (dict, list)) and document and chosen.random() < 0.85:
        keys: Sequence[object] = list(document) if isinstance(document, dict) else range(len(document))
        key = chosen.choice(keys)
        changed = dict(document) if isinstance(document, dict) else list(document)
        action = chosen.random()
        if action < 0.1:
            del changed[key]  # type: ignore[arg-type]
        elif action < 0.15 and isinstance(changed, dict):
            changed[chosen.choice(("", "\0", "a" * 300, str(key).upper(), "\ud800"))] = changed.pop(str(key))
        elif action < 0.2 and isinstance(changed, list):
            # Lists in lists, of a document of megabytes, were written for a minute, in gigabytes.
            changed *= min(chosen.choice((2, 300)), 1 + _MUCH // len(json.dumps(changed)))
        else:
            changed[key] = _value(changed[key], chosen)  # type: ignore[call-overload]
        return changed
    if isinstance(document, str) and chosen.random() < 0.5:
        return of_text(document.encode("utf-8", "surrogatepass"), chosen).decode("utf-8", "replace")
    return chosen.choice(_VALUES)
