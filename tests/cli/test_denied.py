"""What this user may not read is a missing permission, status 4, whatever it was to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.users import open_to_users, run_as_user

WORDS = {
    "the image": ["build", "SECRET", "-o", "disk.ext4"],
    "a list": ["batch", "SECRET", "-o", "disks"],
    "a disk to boot": ["boot", "SECRET"],
    "a disk to look at": ["verify", "SECRET", "oci:image"],
    "a disk to push": ["push", "SECRET", "docker://127.0.0.1:1/disk:1"],
}
IMPORTS = """
import json, os
import builder.actions.push, builder.batch.run
from builder.cli import batch, boot, build, push, verify
from builder.cli.main import run
"""


@pytest.mark.heavy
def test_what_may_not_be_read_is_a_missing_permission(tmp_path: Path) -> None:
    secret = open_to_users(tmp_path) / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    for_all = tmp_path / "for all"
    for_all.mkdir()
    for_all.chmod(0o777)
    places = {"SECRET": str(secret), "disk.ext4": f"{for_all}/disk.ext4"}
    words = [[places.get(word, word) for word in each] for each in WORDS.values()]
    code = "os.write(1, json.dumps([run(words) for words in json.loads(sys.argv[1])]).encode())"
    said = run_as_user(IMPORTS, f"os.dup2(1, 2)\n{code}", json.dumps(words))
    *lines, statuses = said.splitlines()
    assert dict(zip(WORDS, json.loads(statuses), strict=True)) == dict.fromkeys(WORDS, 4)
    assert lines == [f"rootfs-builder: error: {secret}: Permission denied; make it readable for this user"] * len(WORDS)
