"""The example's disks, mounted by the kernel, against a statement of their content made without our merge."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import command
from support.mounts import mounted

from fixtures.expected import expected
from fixtures.facts import differences, read_facts
from fixtures.image import COMPRESSIONS
from fixtures.make_example import BUSYBOX, make_example

pytestmark = pytest.mark.root

TRANSPORTS = ("oci", "oci.tar", "docker.tar", "docker.tar.gz", "docker-new.tar", "layout.zip")


def found_on_disk(scratch: Path, reference: str, format_: str) -> list[str]:
    """How the mounted disk differs from what it must be."""
    disk = scratch / f"disk.{format_}"
    built = command.run("build", reference, "-o", disk)
    assert built.returncode == 0, built.stderr
    with mounted(disk) as tree:
        facts = read_facts(str(tree))
    return list(differences(facts, expected(BUSYBOX.read_bytes())))


@pytest.mark.parametrize("format_", ["ext4", "erofs"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_and_format_holds_what_the_layers_state(tmp_path: Path, transport: str, format_: str) -> None:
    references = make_example(tmp_path / "image")
    assert found_on_disk(tmp_path, references[transport], format_) == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_holds_what_the_layers_state(tmp_path: Path, compression: str) -> None:
    references = make_example(tmp_path / "image", compression)
    assert found_on_disk(tmp_path, references["oci"], "erofs") == []
