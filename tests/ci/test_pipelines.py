"""The action for GitHub and the template for GitLab build a disk, and are what these two take."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.images import Spec, layout
from support.pipelines import Ran, run_action, run_job
from support.tars import file, tar

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "ci" / "action" / "action.yml"
TEMPLATE = ROOT / "ci" / "gitlab" / "rootfs-builder.yml"
FORMS = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir() if path.name != "config.yml"]

SCHEMAS = [
    ("github-actions", ACTION),
    ("gitlab-ci", TEMPLATE),
    ("github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
    *(("github-issue-forms", path) for path in FORMS),
]


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=lambda value: getattr(value, "name", value))
def test_what_is_for_others_is_what_they_take(schema: str, path: Path) -> None:
    from check_jsonschema import main  # takes a tenth of a second, as support.machines says

    done = CliRunner().invoke(main, ["--builtin-schema", f"vendor.{schema}", str(path)])
    assert done.exit_code == 0, done.output


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    layout(tmp_path / "workspace" / "image", Spec((tar(file("hello", b"from a pipeline")),)))
    return tmp_path / "workspace"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def assert_built(workspace: Path, name: str, label: str) -> str:
    """Require a disk with its metadata, and nothing but that; gives the disk's digest."""
    disk = workspace / name
    sha256 = hashlib.sha256(disk.read_bytes()).hexdigest()
    assert json.loads((workspace / f"{name}.json").read_text())["disk"]["sha256"] == sha256
    assert label.encode() in disk.read_bytes()[1024:2048]
    assert not (workspace / "injected").exists()
    return sha256


@pytest.mark.slow
def test_the_github_action_builds_a_disk(workspace: Path, scratch: Path) -> None:
    name = "a disk $(touch injected).ext4"
    inputs = {"image": "oci:image", "output": name, "options": "--label by-action\n--free 4M"}
    ran = run_action(ACTION, workspace, scratch, inputs)
    sha256 = assert_built(workspace, name, "by-action")
    assert ran == Ran(
        outputs={"disk": name, "metadata": f"{name}.json", "sha256": sha256},
        used=[
            {
                "uses": "actions/cache@v4",
                "path": f"{scratch}/rootfs-builder/store\n{scratch}/rootfs-builder/cache\n",
                "key": "rootfs-builder-oci:image-7",
                "restore-keys": "rootfs-builder-oci:image-\nrootfs-builder-\n",
            }
        ],
        said=ran.said,
    )
    assert sorted(path.name for path in workspace.iterdir()) == [name, f"{name}.json", "image"]


@pytest.mark.slow
def test_the_gitlab_job_builds_a_disk(workspace: Path, scratch: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = scratch.iterdir()
    variables = {
        "DISK_IMAGE": "oci:image",
        "DISK_OUTPUT": "a disk.ext4",
        "DISK_OPTIONS": "--label by-job",
        "DISK_PACKAGE": str(wheel),
    }
    run_job(TEMPLATE, ".rootfs-builder", workspace, scratch, variables)
    assert_built(workspace, "a disk.ext4", "by-job")
