"""Where mkfs.erofs reads a directory by its path, root gives it none that others may exchange."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.disks import filled, tree_of
from support.users import ORDINARY, open_to_users

from builder.disk.erofs import staging
from builder.disk.erofs.plan import plan
from builder.disk.erofs.staging import staged
from builder.errors import MissingRequirement
from builder.tree.spool import open_spool

pytestmark = pytest.mark.root


@pytest.mark.parametrize("safe", [True, False])
def test_root_stages_files_elsewhere_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: bool) -> None:
    scratch, elsewhere = tmp_path / "scratch", tmp_path / "elsewhere"
    for place in (scratch, elsewhere):
        open_to_users(tmp_path)
        place.mkdir()
    os.chown(scratch, ORDINARY, ORDINARY)
    if not safe:
        os.chown(elsewhere, ORDINARY, ORDINARY)
    monkeypatch.setattr(staging, "_TEMPORARY", elsewhere)
    with open_spool(tmp_path) as spool:
        planned = plan(tree_of(file=filled(spool, 10_000)), spool, least=1)
        if safe:
            with staged(planned, spool, scratch) as (directory, _):
                assert elsewhere in directory.parents
                assert [path.stat().st_size for path in directory.rglob("*") if path.is_file()] == [10_000]
        else:
            refused = pytest.raises(MissingRequirement, match="use a --tmpdir that only root may change")
            with refused, staged(planned, spool, scratch):
                pass
    assert os.listdir(scratch) + os.listdir(elsewhere) == []
