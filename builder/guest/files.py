"""The few files of an image that decide what a machine needs: read out of the tree, following its own symlinks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

from builder.errors import LayerRefused
from builder.tree.lookup import find_node
from builder.tree.nodes import File
from builder.tree.paths import components
from builder.tree.spool import Spool
from builder.tree.tree import Tree

# Of passwd(5) and its like, in bytes; the largest that real systems have are some hundred thousand.
MAX_SIZE = 16 << 20

# Names that stand for this machine, or for nobody in particular, in hosts(5).
_USUAL = re.compile(r"localhost\S*|ip6-\S+|broadcasthost|[0-9a-f]{12}")
_WORD = re.compile(r"\S+")
# In characters: INET6_ADDRSTRLEN without its NUL, inet_ntop(3).
_MAX_ADDRESS = 45


def read_file(tree: Tree, spool: Spool, path: str) -> bytes | None:
    """Return a file's content, or None where there is none; raises LayerRefused for one of more than 16 MiB."""
    node = find_node(tree, components(path.encode()))
    if not isinstance(node, File):
        return None
    if node.content.size > MAX_SIZE:
        raise LayerRefused(
            "the image", path.encode(), f"has more than {MAX_SIZE} bytes, and init's user is looked up in it"
        )
    return spool.read(node.content)


def wanting(tree: Tree, spool: Spool) -> tuple[str, ...]:
    """Say which of `hosts`, `hostname`, `resolv.conf` of /etc the machine has to be given.

    Those that are missing, empty, dangling links, or left over from the container that the image was committed from.
    """
    judges = {"hosts": _is_left_hosts, "hostname": _is_left_hostname, "resolv.conf": _is_left_resolver}
    found = {name: read_file(tree, spool, f"etc/{name}") for name in judges}
    return tuple(name for name, judge in judges.items() if (data := found[name]) is None or judge(_lines(data)))


def _lines(data: bytes) -> Iterator[str]:
    """Yield each line that says anything, without its comment; not all at once: there may be millions."""
    for line in BytesIO(data):
        said = line.decode("utf-8", "replace").partition("#")[0].partition(";")[0].strip()
        if said:
            yield said


def _is_left_hosts(lines: Iterator[str]) -> bool:
    # An address, and its names, which are not all held at once either.
    names = (word[0] for line in lines for word in islice(_WORD.finditer(line), 1, None))
    return all(_USUAL.fullmatch(name) for name in names)


def _is_left_hostname(lines: Iterator[str]) -> bool:
    # A container's own name is the start of its ID.
    first = next(lines, None)
    return first is None or re.fullmatch("[0-9a-f]{12}", first.split(None, 1)[0]) is not None


def _is_left_resolver(lines: Iterator[str]) -> bool:
    said = (line.split(None, 2) for line in lines)
    return all(_is_loopback(words[1]) for words in said if words[0] == "nameserver" and len(words) > 1)


def _is_loopback(server: str) -> bool:
    # No address is longer; Python before 3.12 takes apart whatever is as long as the file.
    address = server.partition("%")[0]
    if len(address) > _MAX_ADDRESS:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True
