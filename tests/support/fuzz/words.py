"""Words of people, configuration files, registries and other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from support.fuzz.mutate import of_json, of_text
from support.fuzz.target import Target, refused, text

from builder.additions.addition import parse_addition, parse_tar
from builder.batch.images import parse_list
from builder.cli.boot import parse_forward, parse_timeout
from builder.containers_storage.conf import find_place
from builder.containers_storage.conf_files import Conf
from builder.disk.filesystem import parse_compression
from builder.events import ignore
from builder.form import parse_times
from builder.guest.stop_signal import parse_signal
from builder.guest.users import find_account
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.name import ImageName, normalise, same_name
from builder.image.platform import Platform
from builder.image.port import ExposedPort
from builder.option import declared
from builder.options import BuildOptions
from builder.registry import RegistryAccess
from builder.registry.address import Address
from builder.registry.authorization import Authorization, _read_token
from builder.registry.challenges import parse_challenges
from builder.registry.credentials import Credentials, find_credentials
from builder.registry.helper import HelperFailed, ask_helper
from builder.registry.http import Http
from builder.registry.retry import retry_after
from builder.sources.docker.registries_conf import locations, qualify, read_registries_conf
from builder.sources.docker.repositories import _parse_name
from builder.sources.reference import parse_reference
from builder.sources.stored_name import stored_name
from builder.sources.transport import Reference
from builder.store.reference_files import path_of
from builder.vm.options import parse_vm_config

OPTIONS = tuple(declared(BuildOptions()))
Run = Callable[[bytes], object]


def seeds(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [each.encode() for each in texts]


def each_of(*runs: Callable[[str], object]) -> Run:
    """Give an input as text to all of these, one refusal after the other."""

    def run(data: bytes) -> None:
        for parse in runs:
            with refused():
                parse(text(data))

    return run


def name(words: str) -> None:
    parsed = ImageName.parse(words)
    assert ImageName.parse(str(parsed)) == parsed
    with refused():
        assert path_of(parsed.qualified())
    normalise(words)
    same_name(words, "a:1")


def options(data: bytes) -> None:
    """Read one word as the value of every option there is, and write and read again what was understood."""
    words = text(data)
    for option in OPTIONS:
        with refused():
            held = option.read(words)
            option.reread(option.write((held,) if option.repeats else held))


def image_list(suffix: str) -> Run:
    return lambda data: parse_list(data.decode("utf-8", "replace"), f"list{suffix}", Path("disks"), BuildOptions())


def registries_conf(data: bytes) -> None:
    Path("registries.conf").write_bytes(data)
    os.environ["CONTAINERS_REGISTRIES_CONF"] = "registries.conf"
    conf = read_registries_conf()
    for each in ("busybox", "example.com/a/b:1", "docker.io/library/busybox@sha256:" + "0" * 64):
        with refused():
            locations(qualify(ImageName.parse(each), conf, each), conf)


def storage_conf(data: bytes) -> None:
    with refused():
        Conf().parse(data, "storage.conf")
    Path("storage.conf").write_bytes(data)
    find_place({"HOME": "/root", "CONTAINERS_STORAGE_CONF": "storage.conf", "STORAGE_OPTS": text(data)[:99]}, 0)
    find_place({"HOME": "/root", "CONTAINERS_STORAGE_CONF": "storage.conf"}, 1000)


def auth_file(data: bytes) -> None:
    for file in (Path("auth.json"), Path(".dockercfg")):
        file.write_bytes(data)
        for host, path in (("docker.io", "library/busybox"), ("example.com:5000", "a/b")):
            with refused():
                find_credentials(file, host, path, ignore)


def helper(data: bytes) -> None:
    """Ask a helper that gives the input for its answer."""
    program = Path("bin/docker-credential-fuzzed")
    if not program.exists():
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nread -r server\nexec cat answer\n")
        program.chmod(0o755)
        os.environ["PATH"] = f"{program.parent.absolute()}:{os.environ['PATH']}"
    Path("answer").write_bytes(data)
    ask_helper("fuzzed", "example.com")


_ANY_HTTP = re.compile("https?:", re.IGNORECASE)


def headers(data: bytes) -> None:
    """Read what a registry says in headers, which are Latin-1; no token can be fetched here."""
    words = data.decode("latin-1")
    parse_challenges(words)
    retry_after({"Retry-After": words})
    with closing(Http(RegistryAccess(), "example.com")) as http:
        for credentials in (None, Credentials("u", "p")):
            asked = Authorization(http, ["repository:a:pull"], "example.com/a", partial(_found, credentials))
            with refused():
                asked.meet([_ANY_HTTP.sub("none:", words)], [None], True)


def _found(credentials: Credentials | None) -> Credentials | None:
    return credentials


def address(data: bytes) -> None:
    words = data.decode("latin-1")
    with refused(ValueError):
        parsed = Address.parse(words)
        assert parsed.place
        assert parsed.origin
        parsed.asking([("a", words)])
    with refused(ValueError):
        Address.parse("https://example.com/v2/").follow(words)


def accounts(data: bytes) -> None:
    for user in ("web", "0", "web:logs", "7:8", ":", text(data)[:40]):
        with refused():
            find_account(user, data, data)


def port(words: str) -> None:
    ExposedPort.parse(words, "config", "$")


def pulled(words: str) -> None:
    _parse_name(Reference(words, None, words if words.startswith("//") else f"//{words}"))


def held(words: str) -> None:
    stored_name(Reference(words, None, words.replace("\0", "")), Archive([words]))


class Archive:
    """A source that has names for what is in it, and nothing else."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def names(self) -> list[str]:
        return self._names

    def root(self) -> Descriptor:
        raise AssertionError("nobody asks for more than names")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        raise AssertionError("nobody asks for more than names")

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


LIST = "oci:a:1 output=a.ext4 size=512M free=10M env=A=1 'cmd=[\"sh\"]' add=a:/b\n# no more\ndocker-archive:b.tar:c:1\n"
TABLES = '[defaults]\nsize = "1G"\n[[image]]\nreference = "oci:a"\nenv = ["A=1"]\njournal = false\noutput = "b.erofs"\n'
REGISTRIES = """unqualified-search-registries = ["docker.io"]
credential-helpers = ["test", "containers-auth.json"]
[aliases]
busybox = "docker.io/library/busybox"
[[registry]]
prefix = "*.com"
location = "mirror.example/x"
[[registry.mirror]]
location = "a.example:5000"
insecure = true
pull-from-mirror = "digest-only"
"""
STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "/var/$USER"\n[storage.options]\nadditionalimagestores = ["/a"]\n'
AUTH = '{"auths":{"docker.io":{"auth":"dTpw"},"example.com:5000/a":{"identitytoken":"t"}},"credHelpers":{"a":"none"}}'
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:\nlogs:x:7:web,root\n"
ADDRESS = "https://user:pw@example.com:5000/v2/a/blobs/?digest=sha256:0&x=%20#f"

NAMES = ("docker.io/a/b:1", "sha256:" + "a" * 64, "linux/arm/v7", "80/tcp", "a.example+b/!1.json", "//user:pw@a/b")
VALUES = ("512M", "1.5GiB", "10%", "zstd,level=3", "0:0", "A=1", '["a", "b c"]', "a.example", "10.0.0.1", "db:1::2")
REFERENCES = ("oci:dir:app:1", "docker://a.example:5000/b/c:1@sha256:" + "0" * 64, "zip://a.zip!/b", "store:a", "x.tar")
NAMED = each_of(name, Digest.parse, Platform.parse, port, pulled, held)
CHALLENGES = 'Bearer realm="https://a.example/t",service="s",scope="repository:a:pull", Basic realm=a'

TARGETS = {
    "reference": Target(each_of(parse_reference), seeds(*REFERENCES), of_text),
    "image-name": Target(NAMED, seeds(*NAMES), of_text),
    "options": Target(options, seeds(*VALUES), of_text),
    "words": Target(
        each_of(
            *(parse_addition, parse_tar, parse_forward, parse_timeout, parse_compression, parse_vm_config),
            *(parse_signal, parse_times),
        ),
        seeds("a:/b,mode=0755,owner=1:2", "t.tar:/c", "tcp:8080:80", "1.5", "lz4hc,12", "qemu=a.sh", "SIGRTMIN+3"),
        of_text,
    ),
    "list": Target(image_list(".txt"), seeds(LIST), of_text),
    "list-toml": Target(image_list(".toml"), seeds(TABLES), of_text),
    "registries.conf": Target(registries_conf, seeds(REGISTRIES), of_text),
    "storage.conf": Target(storage_conf, seeds(STORAGE), of_text),
    "auth.json": Target(auth_file, seeds(AUTH), of_json),
    "credential-helper": Target(helper, seeds('{"Username":"u","Secret":"s"}'), of_json, (HelperFailed,)),
    "headers": Target(
        headers,
        seeds(CHALLENGES, "Negotiate YQ==", "7"),
        of_text,
    ),
    "token": Target(
        lambda data: _read_token(data, 0.0, "example.com"),
        seeds('{"token":"t","access_token":"u","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}'),
        of_json,
    ),
    "address": Target(address, seeds(ADDRESS, "//h/p", "../x?y", "http://[::1]:80/"), of_text),
    "passwd": Target(accounts, seeds(PASSWD), of_text),
}
