from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.reading import contents, entries

from builder.archive.entry import Kind


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / ("d" * 200)).mkdir(parents=True)
    (root / "sub" / ("d" * 200) / ("f" * 200)).write_bytes(b"deep")
    (root / "file").write_bytes(b"content" * 1000)
    os.link(root / "file", root / "hard")
    os.symlink("/target" * 30, root / "link")
    os.mkfifo(root / "pipe")
    with open(root / "sparse", "wb") as sparse:
        for i in range(8):
            sparse.seek(i * 1024 * 1024)
            sparse.write(bytes([i + 1]) * 5000)
        sparse.truncate(20 * 1024 * 1024)
    with open(os.fsencode(root) + b"/\xff\n", "wb"):
        pass
    os.setxattr(root / "file", "user.a", b"v\0\xff\n=1")
    for path in (root / "file", root / "sub"):
        os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    return root


@pytest.mark.parametrize(
    "command",
    [
        ["tar", "--format=gnu", "-S"],
        ["tar", "--format=pax", "--xattrs", "-S", "--sparse-version=0.0"],
        ["tar", "--format=pax", "--xattrs", "-S", "--sparse-version=0.1"],
        ["tar", "--format=pax", "--xattrs", "-S", "--sparse-version=1.0"],
        ["tar", "--format=oldgnu", "-S"],
        ["bsdtar", "--format=pax", "--xattrs"],
        ["bsdtar", "--format=gnutar"],
    ],
    ids=" ".join,
)
def test_what_tar_programs_write_is_read_as_they_meant_it(command: list[str], tree: Path, tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"NOT RUN: {command[0]} is not installed")
    archive = tmp_path / "archive.tar"
    subprocess.run([*command, "-cf", str(archive), "-C", str(tree), "."], check=True)
    stream = archive.read_bytes()
    seen = {os.path.normpath(entry.path): entry for entry in entries(stream)}
    data = {os.path.normpath(path): content for path, content in contents(stream, 4096).items()}
    on_disk = {b"."}
    for parent, directories, files in os.walk(os.fsencode(tree)):
        on_disk |= {os.path.relpath(os.path.join(parent, name), os.fsencode(tree)) for name in directories + files}
    assert set(seen) == on_disk
    for path, entry in seen.items():
        full = os.path.join(os.fsencode(tree), path)
        status = os.lstat(full)
        assert (entry.mode, entry.uid, entry.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid)
        exact = "pax" in " ".join(command)
        assert entry.mtime_ns == (status.st_mtime_ns if exact else status.st_mtime_ns // 10**9 * 10**9)
        if "--xattrs" in command and entry.kind is not Kind.HARDLINK:
            names = os.listxattr(full, follow_symlinks=False)
            assert entry.xattrs == {os.fsencode(name): os.getxattr(full, name) for name in names}
        if entry.kind is Kind.FILE:
            with open(full, "rb") as original:
                assert data[path] == original.read()
        elif entry.kind is Kind.SYMLINK:
            assert entry.link == os.readlink(full)
        elif entry.kind is Kind.HARDLINK:
            assert os.path.samefile(full, os.path.join(os.fsencode(tree), entry.link))
