"""A program that the image does not have is told at build time, not only by the machine."""

from __future__ import annotations

import pytest
from support.entries import directory, file, symlink

from builder.archive.entry import Entry
from builder.guest.executable import doubt
from builder.guest.options import GuestOptions
from builder.guest.process import plan_process
from builder.image.config import ImageConfig
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.nodes import Content
from builder.tree.tree import Tree

PATH = "PATH=/usr/bin:/bin::rel"


@pytest.fixture(scope="module")
def tree() -> Tree:
    layer = [
        *(file("usr/bin/tool", mode=0o755), file("usr/bin/plain", mode=0o644), directory("usr/bin/folder")),
        *(symlink("bin", "usr/bin"), symlink("usr/bin/link", "/opt/real"), file("opt/real", mode=0o100)),
        *(symlink("usr/bin/loop", "loop"), file("srv/here", mode=0o711), file("srv/rel/there", mode=0o755)),
    ]
    tree = Tree()
    apply_layer(tree, "layer", Entries(layer))
    return tree


def found(tree: Tree, *argv: str, env: str = PATH, cwd: str = "/srv") -> str | None:
    config = ImageConfig("linux", "amd64", (), env=(env,), working_dir=cwd)
    return doubt(plan_process(config, GuestOptions(cmd=argv), "image"), tree)


@pytest.mark.parametrize(
    "program",
    ["tool", "/usr/bin/tool", "/bin/tool", "link", "here", "there", "./here", "rel/there", "../bin/tool", "/tmp/made"],
)
def test_what_is_there_is_found_as_the_machine_finds_it(tree: Tree, program: str) -> None:
    assert found(tree, program) is None


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("nginx", "the image has no program 'nginx' in '/usr/bin:/bin::rel' (status 127)"),
        ("/bin/nginx", "the image has no program '/bin/nginx' (status 127)"),
        ("./tool", "the image has no program './tool' (status 127)"),
        ("folder", "the image has no program 'folder' in '/usr/bin:/bin::rel' (status 127)"),
        ("plain", "nobody may execute 'plain' (status 126)"),
        ("a\x1b[2J", r"the image has no program 'a\x1b[2J' in '/usr/bin:/bin::rel' (status 127)"),
    ],
)
def test_a_program_that_is_not_there_is_said(tree: Tree, program: str, reason: str) -> None:
    assert found(tree, program) == reason


@pytest.mark.parametrize("cwd", ["/usr/bin/tool", "/bin/tool", "/usr/bin/tool/below", "/bin/tool/far/below"])
def test_a_working_directory_that_is_none_is_said(tree: Tree, cwd: str) -> None:
    assert found(tree, "tool", cwd=cwd) == f"the working directory '{cwd}' is no directory (status 126)"


@pytest.mark.parametrize("cwd", ["/", "/bin", "/made/later", "/usr/bin/loop", "/usr/../srv"])
def test_one_that_is_there_or_will_be_is_not(tree: Tree, cwd: str) -> None:
    assert found(tree, "tool", cwd=cwd) is None
    assert found(tree, "/nothing", cwd=cwd) == "the image has no program '/nothing' (status 127)"


@pytest.mark.parametrize("odd", [file("dev"), symlink("dev", "/elsewhere"), symlink("dev", "dev"), symlink("dev", "f")])
def test_what_init_has_to_mount_over_is_a_directory(odd: tuple[Entry, Content]) -> None:
    tree = Tree()
    apply_layer(tree, "layer", Entries([odd, file("f"), file("usr/bin/tool", mode=0o755)]))
    assert found(tree, "tool") == "/dev is no directory, and init has to mount the machine's own there"


def test_a_link_to_one_is_one(tree: Tree) -> None:
    apply_layer(tree, "layer", Entries([directory("other"), symlink("sys", "other")]))
    assert found(tree, "tool") is None


def test_without_a_path_there_is_the_default(tree: Tree) -> None:
    assert found(tree, "tool", env="A=1") is None


def test_a_loop_of_links_is_left_to_the_machine(tree: Tree) -> None:
    assert found(tree, "/usr/bin/loop") is None


def test_what_is_too_long_for_linux_is_said(tree: Tree) -> None:
    assert found(tree, "tool", "x" * 131071) is None
    reason = "Linux takes no argument or variable of more than 131071 bytes (status 126)"
    assert found(tree, "tool", "x" * 131072) == reason
    assert found(tree, "tool", env=PATH + "x" * 131072) == reason
