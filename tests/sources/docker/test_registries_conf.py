"""What registries.conf says of names: mirrors, other locations, blocked ones, and how short names are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import InvalidReference, SourceUnreadable
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.sources.docker import registries_conf
from builder.sources.docker.registries_conf import Location, RegistriesConf, locations, qualify, read_registries_conf

DIGEST = Digest.of(b"content")


@pytest.fixture
def write(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "registries.conf"
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(path))
    return path


def found(name: str) -> list[Location]:
    return locations(ImageName.parse(name), read_registries_conf())


def test_without_a_word_a_name_is_where_it_says(write: Path) -> None:
    assert found("registry.example:5000/team/app:1") == [Location("registry.example:5000", "team/app")]


def test_mirrors_come_first(write: Path) -> None:
    write.write_text("""
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "localhost:5000"
        insecure = true
    """)
    assert found("docker.io/library/busybox") == [
        Location("mirror.example", "hub/library/busybox", mirror=True),
        Location("localhost:5000", "library/busybox", insecure=True, mirror=True),
        Location("docker.io", "library/busybox"),
    ]


def test_some_mirrors_are_for_digests_only(write: Path) -> None:
    write.write_text("""
        [[registry]]
        location = "a.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.example"
        [[registry]]
        location = "b.example"
        [[registry.mirror]]
        location = "m.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "t.example"
        pull-from-mirror = "tag-only"
    """)
    assert [each.host for each in found("a.example/app:1")] == ["a.example"]
    assert [each.host for each in found(f"a.example/app@{DIGEST}")] == ["m.example", "a.example"]
    assert [each.host for each in found("b.example/app:1")] == ["t.example", "b.example"]
    assert [each.host for each in found(f"b.example/app@{DIGEST}")] == ["m.example", "b.example"]


def test_the_longest_prefix_decides_and_is_replaced(write: Path) -> None:
    write.write_text("""
        [[registry]]
        prefix = "a.example"
        location = "first.example"
        [[registry]]
        prefix = "a.example/team"
        location = "second.example/x"
        insecure = true
        [[registry]]
        prefix = "*.wild.example"
        location = "third.example"
    """)
    assert found("a.example/app") == [Location("first.example", "app")]
    assert found("a.example/team/app") == [Location("second.example", "x/app", insecure=True)]
    assert found("a.example/teams") == [Location("first.example", "teams")]
    assert found("b.wild.example/app") == [Location("third.example", "app")]
    assert found("wild.example/app") == [Location("wild.example", "app")]


def test_what_is_blocked_is_not_asked_for(write: Path) -> None:
    write.write_text('[[registry]]\nlocation = "a.example"\nblocked = true\n')
    with pytest.raises(SourceUnreadable, match=r"registries.conf of this machine blocks 'a.example'"):
        found("a.example/app")


def test_a_rule_may_be_for_one_tag_or_digest(write: Path) -> None:
    write.write_text(f"""
        [[registry]]
        location = "a.example/app:1"
        blocked = true
        [[registry]]
        location = "a.example/app@{DIGEST}"
        blocked = true
        [[registry]]
        prefix = "a.example/app:latest"
        location = "b.example/app:latest"
    """)
    for name in ("a.example/app:1", f"a.example/app@{DIGEST}", f"a.example/app:1@{DIGEST}"):
        with pytest.raises(SourceUnreadable, match=r"registries.conf of this machine blocks 'a.example/app"):
            found(name)
    assert found("a.example/app:2") == found("a.example/app:12") == [Location("a.example", "app")]
    assert found("a.example/app") == [Location("b.example", "app")]


def test_a_rule_for_a_host_is_none_for_another_port(write: Path) -> None:
    write.write_text('[[registry]]\nlocation = "a.example"\nblocked = true\n')
    assert found("a.example:5000/app") == [Location("a.example:5000", "app")]


def test_slashes_at_the_end_say_nothing(write: Path) -> None:
    write.write_text("""
        [[registry]]
        prefix = "a.example/team/"
        location = "b.example//"
        [[registry.mirror]]
        location = "m.example/x/"
        [[registry]]
        location = "c.example/"
        blocked = true
    """)
    assert found("a.example/team/app") == [Location("m.example", "x/app", mirror=True), Location("b.example", "app")]
    with pytest.raises(SourceUnreadable, match=r"blocks 'c.example'"):
        found("c.example/app")
    write.write_text('unqualified-search-registries = ["docker.io/"]')
    assert str(qualify(ImageName.parse("app"), read_registries_conf(), "app")) == "docker.io/library/app"


@pytest.mark.parametrize("location", ["host", "b.example/A", "b.example", "b_.example", "b.example/app:2"])
def test_where_nothing_can_be_asked_for_the_file_is_blamed(write: Path, location: str) -> None:
    write.write_text(f'[[registry]]\nprefix = "a.example/team/app"\nlocation = "{location}"\n')
    with pytest.raises(
        SourceUnreadable, match=r"^a.example/team/app: registries.conf has '.*' for it, which is no reg"
    ):
        found("a.example/team/app")


@pytest.mark.parametrize("key", ["location", "prefix", "mirror = [{location"])
def test_a_location_has_no_scheme(write: Path, key: str) -> None:
    end = "}]" if "{" in key else ""
    write.write_text(f'[[registry]]\n{key} = "https://a.example"{end}\n')
    with pytest.raises(SourceUnreadable, match=r"version 2: 'https://a.example' has a scheme; write HOST"):
        read_registries_conf()


def test_what_version_1_says_is_not_passed_over(write: Path) -> None:
    """But distributions had it say nothing."""
    write.write_text("[registries.search]\nregistries = []\n[registries.block]\nregistries = []\n")
    assert found("a.example/app") == [Location("a.example", "app")]
    write.write_text('[registries.block]\nregistries = ["a.example"]\n')
    with pytest.raises(SourceUnreadable, match=r"it has \[registries.block\] of version 1; write \[\[registry\]\]"):
        found("a.example/app")
    write.write_text('[registries.search]\nregistries = ["a.example"]\n')
    with pytest.raises(SourceUnreadable, match=r"\.search\] of version 1; write unqualified-search-registries instead"):
        found("a.example/app")


@pytest.mark.parametrize("content", ["[[registry", "registry = 1", 'unqualified-search-registries = "a"', "\x00"])
def test_a_file_that_is_none_is_said_with_its_name(write: Path, content: str) -> None:
    write.write_text(content)
    with pytest.raises(SourceUnreadable, match=r"is no registries\.conf of version 2") as caught:
        read_registries_conf()
    assert caught.value.where == str(write)


def test_a_home_that_cannot_be_got_at_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTAINERS_REGISTRIES_CONF", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    # As the home of another user, which sudo may leave: looking there fails, but not because nothing is there.
    monkeypatch.setenv("HOME", "/" + "x" * 300)
    assert isinstance(read_registries_conf(), RegistriesConf)


def test_the_users_file_and_drop_ins_are_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF")
    place = home / ".config" / "containers"
    (place / "registries.conf.d").mkdir(parents=True)
    (place / "registries.conf").write_text('unqualified-search-registries = ["a.example"]\n')
    (place / "registries.conf.d" / "1.conf").write_text('[aliases]\n"mine" = "b.example/mine"\n')
    (place / "registries.conf.d" / "2.conf").write_text('[[registry]]\nlocation = "c.example"\nblocked = true\n')
    conf = read_registries_conf()
    assert conf.unqualified_search_registries == ["a.example"]
    assert conf.aliases["mine"] == "b.example/mine"
    assert [each.location for each in conf.registry if each.blocked] == ["c.example"]


def test_what_the_distribution_says_counts_where_the_administrator_says_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF")
    for name in ("_VENDOR", "_SYSTEM"):
        monkeypatch.setattr(registries_conf, name, tmp_path / name)
        (tmp_path / name / "registries.conf.d").mkdir(parents=True)
    (tmp_path / "_VENDOR" / "registries.conf").write_text('unqualified-search-registries = ["theirs.example"]\n')
    of_vendor = '[aliases]\n"a" = "theirs.example/a"\n"b" = "theirs.example/b"\n'
    (tmp_path / "_VENDOR" / "registries.conf.d" / "9.conf").write_text(of_vendor)
    (tmp_path / "_SYSTEM" / "registries.conf.d" / "1.conf").write_text('[aliases]\n"a" = "ours.example/a"\n')
    conf = read_registries_conf()
    assert conf.unqualified_search_registries == ["theirs.example"]
    assert conf.aliases == {"a": "ours.example/a", "b": "theirs.example/b"}
    (tmp_path / "_SYSTEM" / "registries.conf").write_text('unqualified-search-registries = ["ours.example"]\n')
    assert read_registries_conf().unqualified_search_registries == ["ours.example"]
    # As podman 6: a drop-in of the distribution's is put out of force by one of the same name.
    (tmp_path / "_SYSTEM" / "registries.conf.d" / "9.conf").touch()
    assert read_registries_conf().aliases == {"a": "ours.example/a"}


def test_the_last_list_of_credential_helpers_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF")
    place = home / ".config" / "containers"
    (place / "registries.conf.d").mkdir(parents=True)
    (place / "registries.conf").write_text('credential-helpers = ["a", "b"]\n')
    (place / "registries.conf.d" / "1.conf").write_text('credential-helpers = ["c", "containers-auth.json"]\n')
    (place / "registries.conf.d" / "2.conf").write_text("[aliases]\n")
    assert read_registries_conf().credential_helpers == ["c", "containers-auth.json"]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("team/app:1", "docker.io/team/app:1"),
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox"),
        ("localhost/app", "localhost/app"),
        ("registry/app", "docker.io/registry/app"),
        ("registry.example/app", "registry.example/app"),
    ],
)
@pytest.mark.parametrize(
    "conf",
    [
        RegistriesConf(),
        RegistriesConf(unqualified_search_registries=["docker.io"]),
        RegistriesConf(unqualified_search_registries=["docker.io"], aliases={"busybox": "docker.io/library/busybox"}),
    ],
)
def test_short_names_are_docker_hubs(name: str, full: str, conf: RegistriesConf) -> None:
    assert str(qualify(ImageName.parse(name), conf, name)) == full


@pytest.mark.parametrize(
    ("conf", "candidates"),
    [
        (
            RegistriesConf(unqualified_search_registries=["registry.example", "docker.io"]),
            "docker://docker.io/library/app, docker://registry.example/app",
        ),
        (
            RegistriesConf(unqualified_search_registries=["registry.example"]),
            "docker://docker.io/library/app, docker://registry.example/app",
        ),
        (
            RegistriesConf(aliases={"app": "registry.example/team/app"}),
            "docker://docker.io/library/app, docker://registry.example/team/app",
        ),
    ],
)
def test_short_names_that_this_machine_reads_otherwise_are_refused(conf: RegistriesConf, candidates: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        qualify(ImageName.parse("app:1"), conf, "docker://app:1")
    assert caught.value.reason == (
        f"the short name is ambiguous on this machine (registries.conf); write one of {candidates}"
    )
    assert caught.value.exit_status == 2
    assert qualify(ImageName.parse("docker.io/app:1"), conf, "docker://docker.io/app:1").domain == "docker.io"
