"""The walk over a tar's headers: from header to header, checking each, without a look at the content between.

It does no input: a stream (guard.py) and a file (index.py) drive it. As a generator it yields what it wants next, as
(bytes to pass over, bytes to hand in), and is sent those bytes: fewer, or none, when the tar ends before them, and
None when it ends in what was to be passed over. It returns how many bytes of padding the end of the tar lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from builder.archive.block import BLOCK, ZEROS, check_checksum, number, padded, text
from builder.archive.header import OLD_SPARSE, Header, for_libarchive, member_name, read_header
from builder.archive.pax import DECIMAL, Extensions, check_global
from builder.archive.sparse import Extent, check_map, old_extents, pax_map
from builder.errors import MalformedTar

Request = tuple[int, int]
Walk = Generator[Request, bytes | None, int]

# In bytes, as in libarchive and Go. Sparse maps outside pax headers have the same limit: about 40,000 extents.
MAX_EXTENSION = 1024 * 1024
EXTENSIONS = frozenset(b"xgLK")
CUT = "the tar stream ends in a header"

# Of members without extension headers, as most are.
_UNSAID = Extensions()


def walk(found: Callable[[Header], None], instead: Callable[[bytes], None] = lambda unit: None) -> Walk:
    """Walk to the end of the archive, calling `found` with each member in turn; raises MalformedTar.

    Where libarchive would misread the end of what was handed in last, `instead` gets bytes to put in its place.
    """
    name: bytes | None = None  # of the member at hand, for errors
    position = skip = padding = 0
    try:
        while True:
            # Some writers leave out the last padding, and Go's archive/tar does not miss it.
            block = yield skip, padding + BLOCK
            if block is None:
                raise MalformedTar(name, "the tar stream ends in its content")
            if padding:
                if len(block) <= padding:
                    return padding - len(block)
                block = block[padding:]
            start = position = position + skip + padding
            name = None
            said = _UNSAID
            seen = 0
            while True:
                if not block or block == ZEROS:
                    yield from _end(block, said)
                    return 0
                _check(block, position)
                position += BLOCK
                if block[156] not in EXTENSIONS:
                    break
                if not seen:
                    said = Extensions()
                # One each of a pax header, a global one, a long name and a long link: libarchive gives up on more.
                seen += 1
                if seen > 4:
                    raise MalformedTar(said.path, "it has too many extension headers")
                position += yield from _extension(block, said, instead)
                block = yield 0, BLOCK
                if block is None:
                    raise MalformedTar(said.path, CUT)
            name = member_name(block, said)
            header = read_header(block, said, name, start, position)
            readable = for_libarchive(block, said, header.stored)
            if readable is not block:
                instead(readable)
            if block[156] == OLD_SPARSE or said.sparse:
                position += yield from _sparse(block, said, header)
                name = header.path
            found(header)
            skip, padding = header.stored, -header.stored % BLOCK
    except MalformedTar as error:
        raise MalformedTar(name if error.entry is None else error.entry, error.reason) from None


def _take(count: int) -> Generator[Request, bytes | None, bytes]:
    """Take exactly `count` bytes."""
    if not count:
        # To be sent no bytes would mean that the tar has ended.
        return b""
    taken = yield 0, count
    if taken is None or len(taken) < count:
        raise MalformedTar(None, CUT)
    return taken


def _check(block: bytes, position: int) -> None:
    """Check that what is at `position` of the tar is a header."""
    if len(block) < BLOCK:
        raise MalformedTar(None, CUT)
    try:
        check_checksum(block)
    except MalformedTar as error:
        begun = "" if position else "it does not begin with the header of a tar: "
        raise MalformedTar(None, begun + error.reason) from None


def _end(block: bytes, said: Extensions) -> Generator[Request, bytes | None, None]:
    """Take the end of the archive, of whose marker `block` is the first half, or nothing."""
    if said.extended or said.path is not None or said.link is not None:
        raise MalformedTar(said.path, "the archive ends between its headers")
    # Some writers leave out the second half at the end of the stream, or all of it.
    second = (yield 0, BLOCK) if block else None
    if second and second.strip(b"\x00"):
        # libarchive stops at the first one, GNU tar may go on, Go gives up.
        raise MalformedTar(None, "data follows on half an end-of-archive marker")


def _extension(
    block: bytes, said: Extensions, instead: Callable[[bytes], None]
) -> Generator[Request, bytes | None, int]:
    """Take the body of an extension header; return how many bytes were taken."""
    size = number(block, 124, 136, "size")
    if not 0 <= size <= MAX_EXTENSION:
        raise MalformedTar(said.path, f"an extension header of {size} bytes is too long or shorter than nothing")
    taken = yield from _take(padded(size))
    body = taken[:size]
    match block[156:157]:
        case b"x":
            try:
                readable = said.add_records(body)
            except MalformedTar as error:
                # Most writers call this header after the member, whose own name comes behind it.
                raise MalformedTar(error.entry or text(block, 0, 100) or None, error.reason) from None
            if readable is not body:
                instead(readable + taken[size:])
        case b"g":
            check_global(body)
        case typeflag:
            said.add_long_name(body, link=typeflag == b"K")
    return padded(size)


def _sparse(block: bytes, said: Extensions, header: Header) -> Generator[Request, bytes | None, int]:
    """Give a header the name, size and map of its sparse file; return how many bytes of map came behind the block."""
    if block[156] == OLD_SPARSE:
        if said.sparse or said.size is not None:
            raise MalformedTar(header.path, "it mixes the GNU and the pax format for sparse files")
        header.size = number(block, 483, 495, "sparse size")
        extents, length = yield from _old_map(block)
    else:
        if block[156] != ord("0"):
            raise MalformedTar(header.path, "it is no regular file but has a sparse map")
        name, header.size, known = pax_map(said.sparse)
        header.path = header.path if name is None else name
        if header.path.endswith(b"/"):
            raise MalformedTar(header.path, "it is a file, but its name ends in a slash")
        extents, length = (known, 0) if known is not None else (yield from _map_in_content(header.stored))
        header.stored -= length
    header.content += length
    header.extents = extents
    check_map(extents, header.size, header.stored)
    return length


def _old_map(block: bytes) -> Generator[Request, bytes | None, tuple[list[Extent], int]]:
    """Take the blocks that continue the map in an old GNU header; return the map and their length."""
    extents = old_extents(block, 386, 4)
    length, continued = 0, block[482]
    if block[483] == 0 or (continued and not extents):
        raise MalformedTar(None, "its sparse map is malformed")
    while continued:
        if length == MAX_EXTENSION:
            raise MalformedTar(None, "its sparse map is too long")
        block = yield from _take(BLOCK)
        extents += old_extents(block, 0, 21)
        length += BLOCK
        continued = block[504]
    return extents, length


def _map_in_content(stored: int) -> Generator[Request, bytes | None, tuple[list[Extent], int]]:
    """Take the map in front of a version 1.0 file's content, one number a line; return it and its length."""
    lines: list[bytes] = []
    rest = b""
    length = wanted = 0
    while not wanted or len(lines) < wanted:
        if length + BLOCK > min(stored, MAX_EXTENSION):
            raise MalformedTar(None, "its sparse map is cut off or too long")
        *more, rest = (rest + (yield from _take(BLOCK))).split(b"\n")
        length += BLOCK
        lines += more
        if not wanted:
            # The first line says how many pairs follow.
            if not lines or not DECIMAL.fullmatch(lines[0]):
                break
            wanted = 1 + 2 * int(lines[0])
        if len(rest) > BLOCK:
            break
    if not wanted or len(lines) < wanted or not all(map(DECIMAL.fullmatch, lines[:wanted])):
        raise MalformedTar(None, "its sparse map is malformed")
    # What follows the map in its last block is padding.
    numbers = [int(line) for line in lines[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True)), length
