"""Where a disk comes from, as an in-toto statement with SLSA's predicate: what is published of both holds it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from support.images import Made, Spec, layout
from support.left import identity
from support.tars import file, tar
from support.verity import skip_without_veritysetup

from builder import AddedTar, Addition, BuildOptions, DiskOptions, Removal, build
from builder.actions.up_to_date import Lookout
from builder.batch.images import parse_list
from builder.errors import OutputError, UsageError
from builder.guest.options import GuestOptions
from builder.version import VERSION

SPEC = Spec((tar(file("a", b"1")), tar(file("b", b"2"))), config={"Cmd": ["/a"]})


def image(tmp_path: Path) -> tuple[str, Made]:
    (made,) = layout(tmp_path / "image", SPEC)
    return f"oci:{tmp_path}/image", made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def parse(path: Path) -> dict[str, Any]:
    """Read a statement, after the protobufs that in-toto publishes took each of its fields."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    renamed = {("type" if name == "_type" else name): value for name, value in document.items()}
    statement = Statement.copy_from_pb(ParseDict(renamed, statement_pb2.Statement()))
    statement.validate()
    predicate = ParseDict(document["predicate"], provenance_pb2.Provenance())
    assert predicate.build_definition.build_type
    assert predicate.run_details.builder.id
    for each in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(each).validate()
        assert each.digest
    # Those are what v1 has to say (slsa.dev, "Provenance"; in-toto, "Statement").
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    return document


def dependencies(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {each["name"]: each["digest"] for each in document["predicate"]["buildDefinition"]["resolvedDependencies"]}


def test_a_statement_names_the_disk_and_all_that_it_was_made_of(tmp_path: Path) -> None:
    reference, made = image(tmp_path)
    disk, statement = tmp_path / "d.ext4", tmp_path / "d.intoto.json"
    (tmp_path / "own").write_bytes(b"own")
    (tmp_path / "dir").mkdir()
    (tmp_path / "some.tar").write_bytes(tar(file("c", b"3")))
    changes = (
        Addition(tmp_path / "own", "/srv/"),
        Addition(tmp_path / "dir", "/srv/dir"),
        AddedTar(tmp_path / "some.tar", "/opt"),
        Removal("/b"),
    )
    initrd = GuestOptions(initrd=tmp_path / "d.initrd")
    result = build(reference, disk, BuildOptions(additions=changes, guest=initrd, provenance=statement))
    document = parse(statement)
    assert [(each["name"], each["digest"]) for each in document["subject"]] == [
        ("d.ext4", {"sha256": sha256(disk.read_bytes())}),
        ("d.initrd", {"sha256": sha256((tmp_path / "d.initrd").read_bytes())}),
    ]
    assert document["subject"][0]["annotations"]["uuid"] == str(result.disk.uuid)
    found = dependencies(document)
    assert list(found.pop("added as /srv/dir")) == ["listingSha256"]
    assert result.guest is not None
    assert found == {
        "manifest": {"sha256": made.manifest[7:]},
        "config": {"sha256": made.config[7:]},
        "layer 1 of 2": {"sha256": made.layers[0][7:]},
        "layer 2 of 2": {"sha256": made.layers[1][7:]},
        "added as /srv/own": {"sha256": sha256(b"own")},
        "tar added to /opt": {"sha256": sha256((tmp_path / "some.tar").read_bytes())},
        "init": {"sha256": result.guest.init[7:]},
    }
    predicate = document["predicate"]
    asked = predicate["buildDefinition"]["externalParameters"]
    assert (asked["image"], asked["options"]["format"]) == (reference, "ext4")
    assert asked["options"]["additions"][-1] == {"remove": "/b"}
    tools = {name: version for name, version in result.disk.tools.items() if name != "init"}
    assert predicate["runDetails"]["builder"]["version"] == {"rootfs-builder": VERSION, **tools}


def test_a_statement_is_the_same_whenever_it_is_written_and_holds_no_time(tmp_path: Path) -> None:
    reference, _ = image(tmp_path)
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        statement = tmp_path / name / "statement"
        build(reference, tmp_path / name / "d.erofs", BuildOptions(provenance=statement))
        written.append(statement.read_bytes())
    assert written[0] == written[1]
    assert "metadata" not in json.loads(written[0])["predicate"]["runDetails"]


def test_a_statement_has_the_root_hash_where_there_is_one(tmp_path: Path) -> None:
    skip_without_veritysetup()
    reference, _ = image(tmp_path)
    options = BuildOptions(disk=DiskOptions(verity=True), provenance=tmp_path / "statement")
    verity = build(reference, tmp_path / "d.ext4", options).disk.verity
    assert verity is not None
    (subject,) = parse(tmp_path / "statement")["subject"]
    assert subject["annotations"]["verity"]["rootHash"] == verity.root_hash


def test_a_statement_that_is_missing_or_another_is_written_and_the_disk_is_left(tmp_path: Path) -> None:
    reference, _ = image(tmp_path)
    disk, statement = tmp_path / "d.ext4", tmp_path / "statement"
    options = BuildOptions(provenance=statement, metadata_file=tmp_path / "d.json")
    build(reference, disk, options)
    before = identity(disk)
    content, written = statement.read_bytes(), identity(statement)
    with Lookout() as lookout:
        assert lookout.look(reference, disk, options).reason is None
        assert build(reference, disk, options).built is False
        assert identity(statement) == written
        statement.unlink()
        assert lookout.look(reference, disk, options).reason == "what goes with the disk is missing or changed"
    for damage in (None, b"{}"):
        if damage is not None:
            statement.write_bytes(damage)
        assert build(reference, disk, options).built is False
        assert statement.read_bytes() == content
    # Also where only the disk itself can say of what it is.
    statement.unlink()
    build(reference, disk, BuildOptions(provenance=statement))
    assert statement.read_bytes() == content
    assert identity(disk) == before


def test_a_list_has_a_statement_for_each_disk_that_no_other_output_is(tmp_path: Path) -> None:
    line = "oci:web output=web.ext4 provenance=web.intoto.json"
    (job,) = parse_list(line, "list", tmp_path, BuildOptions())
    assert job.options.provenance == Path("web.intoto.json")
    with pytest.raises(UsageError, match=r"writes web\.intoto\.json, and so does"):
        parse_list(f"{line}\noci:b output=b.ext4 provenance=web.intoto.json", "list", tmp_path, BuildOptions())


def test_a_statement_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    reference, _ = image(tmp_path)
    disk = tmp_path / "d.ext4"
    with pytest.raises(UsageError, match="two outputs"):
        build(reference, disk, BuildOptions(provenance=disk))
    with pytest.raises(OutputError, match="does not exist"):
        build(reference, disk, BuildOptions(provenance=tmp_path / "none" / "statement"))
    assert not disk.exists()


def test_bytes_that_are_no_utf_8_are_no_reason_for_others_not_to_read_it(tmp_path: Path) -> None:
    reference, _ = image(tmp_path)
    statement = tmp_path / "p"
    added = Addition(b"x", "/opt/a\udcff\u00e9")
    guest = GuestOptions(env=("A=b\udcff",))
    build(reference, tmp_path / "d.ext4", BuildOptions(provenance=statement, guest=guest, additions=(added,)))
    document = parse(statement)
    assert "added as /opt/a\\xff\u00e9" in dependencies(document)
    assert document["predicate"]["buildDefinition"]["externalParameters"]["options"]["env"] == ["A=b\\xff"]
