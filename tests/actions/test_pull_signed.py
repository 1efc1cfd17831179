"""Signatures of disks: none is taken from a registry that the key's owner has not signed, be it here already."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.command import run
from support.images import Files, index_bytes
from support.pushed import get, make_disk
from support.registry import Registry
from support.signing import (
    KEY,
    OTHER,
    Key,
    attached,
    bundled,
    dsse,
    encoded,
    message,
    payload,
    sign,
    signature_tag,
    signatures,
    statement,
    write_public,
)

from builder import pull_disk, push
from builder.actions.boot_remote import fetched_disk
from builder.actions.booting import BootOptions
from builder.errors import UsageError
from builder.limits import Limits
from builder.sources.access import Access
from builder.sources.signatures import Unsigned


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Access:
    return Access(verify_key=write_public(KEY, tmp_path_factory.mktemp("key") / "cosign.pub"))


class Pushed:
    """A disk under the tag `1` of a repository of its own."""

    def __init__(self, registry: Registry, disk: Path, name: str) -> None:
        self._registry = registry
        self._repository = f"signed/{name}"
        self.reference = f"docker://{registry.host}/{self._repository}:1"
        self.digest = str(push(disk, self.reference).digest)

    @property
    def manifest(self) -> bytes:
        return get(self._registry.host, f"/v2/{self._repository}/manifests/1")[1]

    def sign_with(self, key: Key) -> None:
        """Sign it as cosign 2 does."""
        data = payload(self.digest)
        self.put(signature_tag(self.digest), lambda files: signatures(files, (data, sign(key, data))))

    def put(self, tag: str, make: Callable[[Files], dict[str, object]]) -> dict[str, object]:
        files: Files = {}
        entry = make(files)
        files["index.json"] = index_bytes([entry])
        self._registry.push_layout(self._repository, files, tag)
        return entry

    def refer(self, make: Callable[[Files], dict[str, object]]) -> None:
        """Put a manifest there that refers to it, and list it where this registry's clients look for such."""
        index = index_bytes([self.put("x", make)])
        kind = "application/vnd.oci.image.index.v1+json"
        self._registry.push_manifest(self._repository, self.digest.replace(":", "-"), index, kind)


@pytest.fixture
def pushed(registry: Registry, disk: Path, tmp_path: Path) -> Pushed:
    return Pushed(registry, disk, tmp_path.name.lower())


def by_payload(pushed: Pushed) -> Callable[[Files], dict[str, object]]:
    data = payload(pushed.digest)
    return lambda files: attached(files, pushed.digest, (data, sign(KEY, data)))


def by_statement(pushed: Pushed) -> Callable[[Files], dict[str, object]]:
    said = statement(pushed.digest)
    return lambda files: bundled(files, pushed.digest, dsse(said, sign(KEY, encoded(said))))


def by_message(pushed: Pushed) -> Callable[[Files], dict[str, object]]:
    data = pushed.manifest
    return lambda files: bundled(files, pushed.digest, message(data, sign(KEY, data)))


def refused(pushed: Pushed, place: Path, access: Access) -> str:
    """Pull, and see that nothing comes of it but one line."""
    before = {name: (place / name).read_bytes() for name in os.listdir(place)}
    with pytest.raises(Unsigned) as caught:
        pull_disk(pushed.reference, place / "disk.ext4", access)
    assert {name: (place / name).read_bytes() for name in os.listdir(place)} == before
    assert caught.value.exit_status == 3
    return str(caught.value)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def test_only_a_disk_that_the_key_signed_is_pulled(pushed: Pushed, disk: Path, there: Path, signed: Access) -> None:
    has_none = f"{pushed.reference}: {pushed.digest} has no signature by the key '{signed.verify_key}'"
    assert refused(pushed, there, signed) == has_none
    pushed.sign_with(OTHER)
    assert refused(pushed, there, signed) == f"{has_none}; of 1 by others none counts"
    pushed.sign_with(KEY)
    assert pull_disk(pushed.reference, there / "disk.ext4", signed).fetched
    assert (there / "disk.ext4").read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("form", [by_payload, by_statement, by_message])
def test_a_signature_that_refers_to_the_disk_counts(
    pushed: Pushed, there: Path, signed: Access, form: Callable[[Pushed], Callable[[Files], dict[str, object]]]
) -> None:
    pushed.refer(form(pushed))
    assert str(pull_disk(pushed.reference, there / "disk.ext4", signed).digest) == pushed.digest


def test_a_disk_that_is_here_is_not_said_to_be_one_that_is_signed(pushed: Pushed, there: Path, signed: Access) -> None:
    pull_disk(pushed.reference, there / "disk.ext4")
    refused(pushed, there, signed)
    pushed.sign_with(KEY)
    assert not pull_disk(pushed.reference, there / "disk.ext4", signed).fetched


@pytest.mark.heavy
def test_another_disk_under_the_tag_of_one_that_is_signed_is_refused(
    pushed: Pushed, registry: Registry, tmp_path: Path, there: Path, signed: Access
) -> None:
    pushed.sign_with(KEY)
    first = pull_disk(pushed.reference, there / "disk.ext4", signed)
    (tmp_path / "other").mkdir()
    other = push(make_disk(tmp_path / "other", size=5), pushed.reference)
    assert f": {other.digest} has no signature by the key" in refused(pushed, there, signed)
    by_digest = f"{pushed.reference}@{first.digest}"
    assert not pull_disk(by_digest, there / "disk.ext4", signed).fetched


def test_a_disk_that_is_to_run_must_be_signed_as_well(pushed: Pushed, disk: Path, signed: Access) -> None:
    with ExitStack() as stack:
        fetched = fetched_disk(pushed.reference, BootOptions(), signed, Limits())
        with pytest.raises(Unsigned):
            stack.enter_context(fetched)
        pushed.sign_with(KEY)
        fetched = fetched_disk(pushed.reference, BootOptions(), signed, Limits())
        assert stack.enter_context(fetched).read_bytes() == disk.read_bytes()


def test_the_key_is_not_written_over(pushed: Pushed, there: Path, signed: Access) -> None:
    assert signed.verify_key is not None
    key = there / "cosign.pub"
    key.write_bytes(signed.verify_key.read_bytes())
    with pytest.raises(UsageError, match="would be written over"):
        pull_disk(pushed.reference, there / "disk.ext4", Access(verify_key=key), provenance=key)
    with pytest.raises(UsageError, match="would be written over"):
        pull_disk(pushed.reference, key, Access(verify_key=key), force=True)
    assert os.listdir(there) == ["cosign.pub"]


def test_a_key_that_is_none_is_wrong_usage_before_the_registry_is_asked(there: Path) -> None:
    with pytest.raises(UsageError, match="is no public key in PEM form"):
        pull_disk("docker://127.0.0.1:1/x:1", there / "disk.ext4", Access(verify_key=Path("/dev/null")))
    assert os.listdir(there) == []


@pytest.mark.heavy
def test_the_command_says_so_in_one_line(pushed: Pushed, disk: Path, there: Path, signed: Access) -> None:
    words = ("-q", "pull", pushed.reference, "-o", there / "disk.ext4", "--verify-key", signed.verify_key)
    boot = ("-q", "boot", pushed.reference, "--verify-key", signed.verify_key)
    for each in (words, boot):
        done = run(*each)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
        assert "has no signature by the key" in done.stderr
    assert os.listdir(there) == []
    pushed.sign_with(KEY)
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert (there / "disk.ext4").read_bytes() == disk.read_bytes()
