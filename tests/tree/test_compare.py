"""Each way in which two trees can differ is found, and said in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.everything import ACCESS_ACL, acl, everything

from builder.errors import ImageRefused
from builder.tree.compare import Comparison, Difference, LeftOut
from builder.tree.difference import Comparing
from builder.tree.expected import found_of
from builder.tree.found import Found, Stretches
from builder.tree.nodes import Device, Directory, Fifo, File, Node, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def lines(found: Tree, expected: Tree, spool: Spool, comparison: Comparison | None = None) -> list[str]:
    comparison = comparison or Comparison()
    return [str(each) for each in comparison.differences(found_of(found, spool), found_of(expected, spool))]


def at(tree: Tree, path: str) -> Node:
    node: Node = tree.root
    for name in path.encode().split(b"/"):
        assert isinstance(node, Directory)
        node = node.children[name]
    return node


def put(path: str, node: Callable[[Spool], Node | None]) -> Callable[[Tree, Spool], None]:
    """Have something else at a path: nothing, for None."""

    def change(tree: Tree, spool: Spool) -> None:
        above, _, name = path.rpartition("/")
        directory = at(tree, above) if above else tree.root
        assert isinstance(directory, Directory)
        directory.children.pop(name.encode(), None)
        if (other := node(spool)) is not None:
            directory.children[name.encode()] = other

    return change


def state(path: str, **facts: object) -> Callable[[Tree, Spool], None]:
    def change(tree: Tree, spool: Spool) -> None:
        for name, value in facts.items():
            setattr(at(tree, path) if path else tree.root, name, value)

    return change


def content(path: str, data: bytes) -> Callable[[Tree, Spool], None]:
    def change(tree: Tree, spool: Spool) -> None:
        node = at(tree, path)
        assert isinstance(node, File)
        node.content = spool.keep(data)

    return change


def rename(tree: Tree, spool: Spool) -> None:
    children = tree.root.children
    children[b"\xff\n"] = children.pop(b"fifo")


def unlink(tree: Tree, spool: Spool) -> None:
    """Make a hardlink a file of its own, otherwise the same."""
    shared = tree.root.children[b"a"]
    assert isinstance(shared, File)
    tree.root.children[b"z"] = File(shared.mode, shared.uid, shared.gid, shared.mtime_ns, content=shared.content)


def relink(tree: Tree, spool: Spool) -> None:
    tree.root.children[b"empty"] = tree.root.children[b"bin"].children[b"ping"]  # type: ignore[union-attr]


MINIMAL = acl(owner=6, group=4, other=0)

CHANGES: dict[str, tuple[Callable[[Tree, Spool], None], list[str]]] = {
    "missing": (put("fifo", lambda spool: None), ["/fifo: missing"]),
    "extra": (put("new", lambda spool: Fifo()), ["/new: extra"]),
    "directories": (
        put("acl/new", lambda spool: Directory(children={b"x": File()})),
        ["/acl: links 4, expected 3", "/acl/new: extra", "/acl/new/x: extra"],
    ),
    "renamed": (rename, ["/fifo: missing", "/\\xff\\n: extra"]),
    "type": (put("fifo", lambda spool: File()), ["/fifo: type file, expected fifo"]),
    "mode": (state("bin/su", mode=0o755), ["/bin/su: mode 0755, expected 6755"]),
    "root": (
        state("", mode=0o700, mtime_ns=1),
        ["/: mode 0700, expected 0755", "/: mtime 0.000000001, expected 5.000000000"],
    ),
    "owner": (state("fifo", uid=7), ["/fifo: owner 7:6, expected 5:6"]),
    "group": (state("fifo", gid=0), ["/fifo: owner 5:0, expected 5:6"]),
    "time": (state("fifo", mtime_ns=-1), ["/fifo: mtime -1.999999999, expected 0.500000000"]),
    "size": (content("empty", b"xyz"), ["/empty: size 3, expected 0"]),
    "content": (content("bin/ping", b"pong"), ["/bin/ping: content 0x6f at byte 1, expected 0x69"]),
    "target": (state("link", target=b"other\n"), ["/b/c/link: target 'other\\n', expected '../nowhere/\\xff'"]),
    "device": (state("dev/sda", minor=1), ["/dev/sda: device 8:1, expected 8:1048575"]),
    "kind of device": (state("dev/sda", block=False), ["/dev/sda: type character device, expected block device"]),
    "no xattr": (state("bin/ping", xattrs={}), ["/bin/ping: xattr 'security.capability' missing"]),
    "one more": (state("fifo", xattrs={b"trusted.x": b""}), ["/fifo: xattr 'trusted.x' extra"]),
    "other value": (
        state("dev/null", xattrs={b"trusted.on.device": b"no"}),
        ["/dev/null: xattr 'trusted.on.device' 0x6e6f, expected 0x796573"],
    ),
    "not the same": (
        unlink,
        ["/a: links 2, expected 3", "/z: hardlink of nothing, expected of '/a'", "/z: links 1, expected 3"],
    ),
    "the same": (
        relink,
        [
            "/bin/ping: links 2, expected 1",
            "/empty: hardlink of '/bin/ping', expected of nothing",
            "/empty: size 4, expected 0",
            "/empty: links 2, expected 1",
            "/empty: xattr 'security.capability' extra",
        ],
    ),
    "ACL": (
        state("acl/listed", xattrs={b"system.posix_acl_access": MINIMAL, b"trusted.blob": bytes(range(256))}),
        [
            f"/acl/listed: ACL 'system.posix_acl_access' 0x{MINIMAL.hex()}, expected 0x{ACCESS_ACL[:32].hex()}…",
        ],
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_each_kind_of_difference_is_one_line(spool: Spool, kind: str) -> None:
    change, wanted = CHANGES[kind]
    tree = everything(spool)
    change(tree, spool)
    assert lines(tree, everything(spool), spool) == wanted


def test_a_tree_is_like_itself(spool: Spool) -> None:
    comparison = Comparison()
    assert lines(everything(spool), everything(spool), spool, comparison) == []
    assert comparison.names == sum(1 for _ in everything(spool).walk()) + 1


def test_what_an_acl_says_of_nobody_in_particular_is_not_compared(spool: Spool) -> None:
    """Linux shows no id but those of named users and groups, whatever is stored."""
    stored = bytearray(ACCESS_ACL)
    stored[8:12] = bytes(4)
    tree = everything(spool)
    at(tree, "acl/listed").xattrs = {b"system.posix_acl_access": bytes(stored), b"trusted.blob": bytes(range(256))}
    assert lines(tree, everything(spool), spool) == []


def test_an_acl_that_is_cut_off_is_another(spool: Spool) -> None:
    tree = everything(spool)
    listed = at(tree, "acl/listed")
    listed.xattrs = {**listed.xattrs, b"system.posix_acl_access": ACCESS_ACL[:-1]}
    assert len(lines(tree, everything(spool), spool)) == 1


def test_times_are_compared_as_the_disk_holds_them(spool: Spool) -> None:
    found, expected = Tree(Directory(mtime_ns=7 * 10**9)), Tree(Directory(mtime_ns=7_999_999_999))
    whole = Comparison(holds=lambda time: time // 10**9 * 10**9)
    assert (lines(found, expected, spool, whole), len(lines(found, expected, spool))) == ([], 1)


def test_what_the_file_systems_maker_made_is_no_difference(spool: Spool) -> None:
    tree = everything(spool)
    tree.root.children[b"lost+found"] = Directory(0o700)
    assert lines(tree, everything(spool), spool, Comparison(own=frozenset({b"lost+found"}))) == []
    assert lines(tree, everything(spool), spool)[-1] == "/lost+found: extra"


def test_what_nobody_knows_is_left_out_with_what_leads_there(spool: Spool) -> None:
    tree = everything(spool)
    tree.root.children[b"opt"] = Directory(children={b"app": Directory(children={b"x": Symlink(target=b"y")})})
    tree.root.children[b"bin"].children[b"ping"] = Device()  # type: ignore[union-attr]
    left_out = LeftOut(frozenset({b"opt/app", b"bin/ping"}))
    found = lines(tree, everything(spool), spool, Comparison(left_out=left_out))
    assert found == []
    tree.root.children[b"opt"].children[b"appendix"] = File()  # type: ignore[union-attr]
    assert lines(tree, everything(spool), spool, Comparison(left_out=left_out)) == ["/opt/appendix: extra"]


def test_content_that_cannot_be_read_is_a_difference(spool: Spool) -> None:
    def broken() -> Stretches:
        raise ImageRefused("inode 12: leads out of the disk")
        yield 0, b""

    def found() -> Iterator[Found]:
        for each in found_of(everything(spool), spool):
            inode = replace(each.inode, data=broken) if each.path == b"bin/ping" else each.inode
            yield replace(each, inode=inode)

    said = list(Comparison().differences(found(), found_of(everything(spool), spool)))
    reason = "that cannot be read (inode 12: leads out of the disk)"
    assert said == [Difference(b"/bin/ping", "content", reason, "other")]


parts = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=4)), max_size=6)


def stretched(parts: list[tuple[int, bytes]]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """A content, and the same as stretches with holes of these lengths before them."""
    whole, found = b"", []
    for hole, data in parts:
        whole += bytes(hole)
        found.append((len(whole), data))
        whole += data
    return whole, found


@given(parts, parts)
def test_contents_are_compared_whatever_they_are_cut_into(
    one: list[tuple[int, bytes]], other: list[tuple[int, bytes]]
) -> None:
    (left, left_parts), (right, right_parts) = stretched(one), stretched(other)
    size = max(len(left), len(right))
    left, right = left.ljust(size, b"\0"), right.ljust(size, b"\0")
    wanted = next(((at, left[at], right[at]) for at in range(size) if left[at] != right[at]), None)
    assert Comparing(iter(left_parts), iter(right_parts)).first_difference() == wanted
    assert Comparing(iter(left_parts), iter([(0, left)] if left else [])).first_difference() is None


BLOCK = 4096


@pytest.mark.parametrize(
    ("start", "size", "filled"),
    [(0, BLOCK, 1), (0, 2 * BLOCK, 2), (BLOCK, 10, 0), (3 * BLOCK, BLOCK, 0), (BLOCK, 5 * BLOCK, 2), (0, BLOCK - 1, 0)],
)
def test_blocks_of_zeros_in_holes_are_counted(start: int, size: int, filled: int) -> None:
    """Other than in holes there is data in the fourth and the fifth block, and in a part of the sixth."""
    data = b"d" * (2 * BLOCK + 10)
    found = bytearray(10 * BLOCK)
    found[3 * BLOCK : 3 * BLOCK + len(data)] = data
    stretches = [(start, bytes(found[start : start + size])), (3 * BLOCK, data)]
    comparing = Comparing(iter(cut(stretches)), iter([(3 * BLOCK, data)]), BLOCK)
    assert (comparing.first_difference(), comparing.filled) == (None, filled)


def cut(stretches: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Give the same in blocks, each once."""
    blocks: dict[int, bytes] = {}
    for start, data in stretches:
        for at in range(0, len(data), BLOCK):
            blocks.setdefault(start + at, data[at : at + BLOCK])
    return sorted(blocks.items())


def test_a_hole_that_is_none_any_more_is_a_difference_where_there_are_holes(spool: Spool) -> None:
    tree = Tree()
    tree.root.children[b"sparse"] = File(content=spool.add(3 * BLOCK, [(0, b"data")]))

    def data() -> Stretches:
        return iter([(0, b"data".ljust(BLOCK, b"\0")), (2 * BLOCK, bytes(BLOCK))])

    def found() -> Iterator[Found]:
        for each in found_of(tree, spool):
            yield replace(each, inode=replace(each.inode, data=data)) if each.path else each

    said = [list(Comparison(has_holes=has).differences(found(), found_of(tree, spool))) for has in (True, False)]
    assert said == [[Difference(b"/sparse", "holes", "1 blocks stored in them", "none")], []]


@pytest.mark.parametrize(("links", "said"), [(4, ["/acl: links 1, expected 4"]), (65001, [])])
def test_one_link_of_a_directory_stands_for_more_than_can_be_counted_only(
    spool: Spool, links: int, said: list[str]
) -> None:
    """A directory of ext4 counts to 65,000."""

    def names(count: int) -> Iterator[Found]:
        for each in found_of(everything(spool), spool):
            yield Found(each.path, replace(each.inode, links=count)) if each.path == b"acl" else each

    assert [str(each) for each in Comparison().differences(names(1), names(links))] == said
