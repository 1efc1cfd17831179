"""What this user may not read is a missing permission, status 4, whatever it was to be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar
from support.users import open_to_users, run_as_user

BUILD = ["build", "{image}", "-o", "{all}/disk.ext4"]
# What a command is given, and what it says of that.
WORDS = {
    "the image": (["build", "{file}", "-o", "{all}/disk.ext4"], "{file}"),
    "an image in a directory": (["build", "{directory}/image", "-o", "{all}/disk.ext4"], "{directory}/image"),
    "what is added": ([*BUILD, "--add", "{file}:/x"], "--add {file}:/x"),
    "init": ([*BUILD, "--init", "{file}"], "{file}: cannot be init"),
    "modules": ([*BUILD, "--initrd", "{all}/initrd", "--modules", "{directory}"], "{directory}"),
    "certificates": (["build", "docker://127.0.0.1:1/a", *BUILD[2:], "--cert-dir", "{directory}"], "{directory}"),
    "a list": (["batch", "{file}", "-o", "disks"], "{file}"),
    "a disk to boot": (["boot", "{file}"], "{file}"),
    "a disk to look at": (["verify", "{file}", "{image}"], "{file}"),
    "a disk to push": (["push", "{file}", "docker://127.0.0.1:1/disk:1"], "{file}"),
}
IMPORTS = """
import json, os
import builder.actions.push, builder.batch.run
from builder.cli import batch, boot, build, push, verify
from builder.cli.main import run
"""


@pytest.mark.heavy
def test_what_may_not_be_read_is_a_missing_permission(tmp_path: Path) -> None:
    places = {name: str(open_to_users(tmp_path) / name) for name in ("file", "directory", "all")}
    Path(places["file"]).write_bytes(b"x")
    Path(places["file"]).chmod(0)
    Path(places["directory"]).mkdir(mode=0)
    Path(places["all"]).mkdir()
    Path(places["all"]).chmod(0o777)
    layout(tmp_path / "image", Spec((tar(file("a")),), config={"Cmd": ["a"]}))
    places["image"] = f"oci:{tmp_path}/image"
    words = [["-q", *(word.format(**places) for word in each)] for each, _ in WORDS.values()]
    code = "os.write(1, json.dumps([run(words) for words in json.loads(sys.argv[1])]).encode())"
    said = run_as_user(IMPORTS, f"os.dup2(1, 2)\n{code}", json.dumps(words))
    Path(places["directory"]).chmod(0o700)
    *lines, statuses = said.splitlines()
    assert dict(zip(WORDS, json.loads(statuses), strict=True)) == dict.fromkeys(WORDS, 4)
    assert lines == [
        f"rootfs-builder: error: {what.format(**places)}: Permission denied; make it readable for this user"
        for _, what in WORDS.values()
    ]
    assert os.listdir(places["all"]) == []


@pytest.mark.heavy
def test_so_are_credentials_that_may_not_be_read(tmp_path: Path) -> None:
    secret = open_to_users(tmp_path) / "auth.json"
    secret.touch(mode=0)
    said = run_as_user(
        "from pathlib import Path\nfrom builder.errors import MissingRequirement\n"
        "from builder.registry.credentials import find_credentials",
        "try:\n    find_credentials(Path(sys.argv[1]), 'registry.example', 'web')\n"
        "except MissingRequirement as error:\n    print(error)",
        secret,
    )
    assert said == f"{secret}: Permission denied; make it readable for this user\n"


@pytest.mark.heavy
def test_but_who_describes_a_machine_need_not_see_its_kernel(tmp_path: Path) -> None:
    (open_to_users(tmp_path) / "hidden").mkdir(mode=0)
    kernel = tmp_path / "hidden" / "vmlinux"
    said = run_as_user(
        "from pathlib import Path\nfrom builder.vm.machine import MachineOptions\n"
        "from builder.vm.options import VmConfig, VmOptions",
        "options = VmOptions((VmConfig('qemu', Path('q')),), MachineOptions(kernel=Path(sys.argv[1])))\n"
        "options.check([])\nprint(*options.remarks())",
        kernel,
    )
    kernel.parent.chmod(0o700)
    assert said == f"{kernel}: is not there yet; the machine wants it\n"
