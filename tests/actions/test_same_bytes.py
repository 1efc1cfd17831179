"""All that a build can be told at once gives the same files to everybody, anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import command
from support.images import Spec, layout
from support.tars import file, symlink, tar
from support.users import ids, open_to_users, run_as_user
from support.verity import is_intact, read_verity, skip_without_veritysetup

from builder.disk import FILESYSTEMS

PASSWD = b"root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n"
GROUP = b"root:x:0:\nweb:x:1001:\nlogs:x:7:web\n"
FILES = [
    *(file("etc/passwd", PASSWD), file("etc/group", GROUP), file("bin/serve", b"#!/bin/sh\n" * 3000, mode=0o755)),
    *(file("var/log/old", b"gone"), symlink("srv", "var/srv"), file("var/srv/index", b"page")),
]

# What is not said here is an image's, a registry's, or about what is written and where.
WORDS = [
    *("--label", "all", "--verity", "--init", "auto", "--entrypoint", '["/bin/serve", "a b"]', "--cmd", "x 'y z'"),
    *("--env", "A=1=2", "--env", "HERE", "--user", "web:7", "--working-dir", "/srv/new", "--stop-signal", "SIGUSR1"),
    *("--hostname", "web.lan", "--dns", "9.9.9.9", "--dns", "2620:fe::fe", "--add-host", "db:10.0.0.1"),
    *("--add", "site:/srv", "--add", "site/run:/bin/run,mode=4755,owner=1000:7", "--add-tar", "more.tar:/opt"),
    *("--remove", "/var/log", "--memory", "512M", "--vcpus", "2", "--kernel", "vmlinux", "--data", "data.ext4"),
    *("--append", "rb.stop-timeout=3", "--vm-config", "firecracker=firecracker.json", "--vm-config", "qemu=qemu.sh"),
    *("--vm-config", "cloud-hypervisor=cloud-hypervisor.sh", "--metadata-file", "metadata.json"),
]

# Init is in the disk, or beside it.
BESIDE = {"ext4": [], "erofs": ["--initrd", "web.initrd"]}

_AS_ANOTHER = """
# As `python -m builder` does, whose process is its own.
own_process()
os.environ.update(HERE="of the host", TZ="Asia/Tokyo", LC_ALL="C")
os.umask(0o077)
os.chdir(sys.argv[1])
sys.exit(run(sys.argv[2:]))
"""


def inputs(place: Path, mode: int, time: int) -> Path:
    """What a build is told to take, with modes and times that are not to matter."""
    site = place / "site"
    (site / "below").mkdir(parents=True)
    (site / "run").write_bytes(b"#!/bin/sh\n")
    (site / "below" / "page").write_bytes(b"<p>\n" * 2000)
    (site / "link").symlink_to("below/page")
    (place / "more.tar").write_bytes(tar(file("tool", b"tool", mode=0o750, mtime=7)))
    layout(place / "image", Spec((tar(*FILES),), config={"Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}}))
    (site / "run").chmod(mode | 0o111)
    (site / "below" / "page").chmod(mode)
    for path in (site / "run", site / "below" / "page", site / "below", site):
        os.utime(path, (time, time))
    return place


def made(place: Path, disk: str) -> dict[str, bytes]:
    beside = BESIDE[disk.partition(".")[2]][1:]
    names = [disk, *beside, "firecracker.json", "qemu.sh", "cloud-hypervisor.sh", "metadata.json"]
    return {name: (place / name).read_bytes() for name in names}


@pytest.mark.heavy
@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_root_and_others_make_the_same_files_elsewhere_and_later(tmp_path: Path, format_: str) -> None:
    skip_without_veritysetup()
    disk = f"web.{format_}"
    words = ["-q", "build", "oci:image", "-o", disk, *WORDS, *BESIDE[format_]]
    ours = inputs(tmp_path / "ours", 0o644, 1_000_000_000)
    argv = command.argv(*words)
    ran = subprocess.run(
        argv, cwd=ours, env={**command.ENVIRONMENT, "HERE": "of the host"}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, f"{disk}\n"), ran.stderr
    theirs = inputs(open_to_users(tmp_path) / "theirs" / "far" / "away", 0o600, 2_000_000_000)
    for path in (theirs, *theirs.rglob("*"), *theirs.parents[:2]):
        os.chown(path, *ids(), follow_symlinks=False)
    imports = "import os\nfrom builder.cli.main import run\nfrom builder.sandbox.owned import own_process"
    said = run_as_user(imports, _AS_ANOTHER, theirs, *words)
    assert said == f"{disk}\n"
    assert made(theirs, disk) == made(ours, disk)
    assert is_intact(ours / disk, read_verity(ours / "metadata.json"))
