from __future__ import annotations

from collections.abc import Mapping

import pytest

from builder.errors import PlatformNotFound, UnsupportedImage
from builder.image.choose import choose, confirm
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from builder.image.platform import Platform

ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def entry(
    platform: str | None,
    media_type: str = OCI_MANIFEST,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    content: bytes = b"",
    os_features: tuple[str, ...] = (),
) -> Descriptor:
    stated = Platform(*platform.split("/")) if platform is not None else None
    facts = annotations or {}
    return Descriptor(media_type, Digest.of(content), len(content), (), facts, stated, artifact_type, os_features)


def chosen(wanted: str, *entries: Descriptor) -> int:
    return [id(one) for one in entries].index(id(choose(entries, Platform.parse(wanted))))


@pytest.mark.parametrize(
    ("wanted", "offered", "index"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/arm64", ["linux/amd64", "linux/arm64/v8"], 1),
        ("linux/arm64/v8", ["linux/amd64", "linux/arm64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/amd64"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], 2),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], 1),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64/v1"], 0),
    ],
)
def test_the_nearest_variant_that_runs_is_chosen_and_the_first_of_equals(
    wanted: str, offered: list[str], index: int
) -> None:
    assert chosen(wanted, *map(entry, offered)) == index


def test_attestations_artifacts_and_foreign_media_types_are_passed_over() -> None:
    assert (
        chosen(
            "linux/amd64",
            entry("linux/amd64", annotations=ATTESTATION),
            entry("linux/amd64", media_type="application/vnd.example.thing+json"),
            entry("linux/amd64", artifact_type="application/vnd.example.sbom"),
            entry("unknown/unknown"),
            entry("linux/amd64", artifact_type=OCI_CONFIG),
        )
        == 4
    )


def test_what_needs_features_of_an_operating_system_is_chosen_when_nothing_else_fits() -> None:
    """apko and Nydus offer an image in a form of their own beside the one that all can read."""
    erofs = entry("linux/amd64", os_features=("erofs",))
    assert chosen("linux/amd64", erofs, entry("linux/amd64")) == 1
    assert chosen("linux/arm/v7", entry("linux/arm/v7", os_features=("erofs",)), entry("linux/arm/v6")) == 1
    assert chosen("linux/amd64", entry("linux/arm64"), erofs) == 1


@pytest.mark.parametrize("platform", [None, "linux/amd64"])
def test_what_calls_itself_an_artifact_is_followed_when_nothing_else_fits(platform: str | None) -> None:
    artifact = entry(platform, artifact_type="application/vnd.example.image")
    assert chosen("linux/amd64", entry("unknown/unknown"), artifact) == 1
    assert chosen("linux/amd64", artifact, entry("linux/amd64")) == 1
    with pytest.raises(PlatformNotFound):
        choose([artifact, entry("linux/s390x")], Platform("linux", "arm64"))


def test_an_attestation_is_never_chosen_though_it_is_all_there_is() -> None:
    with pytest.raises(PlatformNotFound) as caught:
        choose([entry(None, annotations=ATTESTATION), entry("unknown/unknown")], Platform("linux", "amd64"))
    assert caught.value.available == ()


def test_an_index_of_nothing_but_foreign_media_types_says_what_it_leads_to() -> None:
    layer, cache = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.buildkit.cacheconfig.v0"
    with pytest.raises(UnsupportedImage) as caught:
        choose([entry(None, layer), entry(None, cache), entry(None, layer)], Platform("linux", "amd64"), "app:cache")
    assert str(caught.value) == (
        f"app:cache: leads to no image, but to {cache}, {layer}; it may be a build cache: name the image"
    )
    with pytest.raises(PlatformNotFound):
        choose([], Platform("linux", "amd64"))


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_MANIFEST_LIST, OCI_MANIFEST, DOCKER_MANIFEST])
def test_the_only_entry_is_followed_when_it_states_no_platform(media_type: str) -> None:
    assert chosen("linux/s390x", entry("unknown/unknown"), entry(None, media_type)) == 1


def test_the_one_index_without_platform_is_followed_when_nothing_else_fits() -> None:
    entries = [entry("linux/amd64"), entry(None), entry(None, OCI_INDEX)]
    assert chosen("linux/arm64", *entries) == 2
    assert chosen("linux/amd64", *entries) == 0


@pytest.mark.parametrize(
    "entries",
    [
        [entry(None), entry(None, content=b"other")],
        [entry(None, OCI_INDEX), entry(None, OCI_INDEX, content=b"other")],
        [entry("linux/amd64"), entry(None)],
        [entry("linux/amd64", OCI_INDEX)],
        [entry("/")],
        [],
    ],
)
def test_nothing_is_guessed_between_entries_that_state_no_fitting_platform(entries: list[Descriptor]) -> None:
    with pytest.raises(PlatformNotFound):
        choose(entries, Platform("linux", "arm64"))


@pytest.mark.parametrize("media_type", [OCI_INDEX, OCI_MANIFEST])
def test_an_entry_that_is_there_twice_is_one_and_no_choice(media_type: str) -> None:
    assert chosen("linux/arm64", entry(None, media_type), entry(None, media_type)) == 0
    # By two names, too; and to find that out takes no entry to be compared with each.
    many = [entry(None, media_type, annotations={"name": str(number)}) for number in range(1 << 15)]
    assert chosen("linux/arm64", *many) == 0


def test_an_index_entry_with_a_platform_is_chosen_like_a_manifest() -> None:
    assert chosen("linux/arm64", entry("linux/amd64"), entry("linux/arm64", OCI_INDEX)) == 1


def test_no_match_names_what_was_wanted_and_each_platform_once() -> None:
    entries = [entry("linux/amd64"), entry("linux/arm64/v8"), entry("linux/amd64"), entry("unknown/unknown")]
    with pytest.raises(PlatformNotFound) as caught:
        choose(entries, Platform.parse("linux/s390x"), "oci:images")
    assert str(caught.value) == "oci:images: no image for linux/s390x; available: linux/amd64, linux/arm64/v8"
    assert (caught.value.wanted, caught.value.available) == ("linux/s390x", ("linux/amd64", "linux/arm64/v8"))


def test_a_platform_with_control_characters_does_not_break_the_message_into_lines() -> None:
    with pytest.raises(PlatformNotFound) as caught:
        choose([entry("linux\n/amd64")], Platform("linux", "amd64"))
    assert caught.value.available == (r"linux\n/amd64",)


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64", Platform("linux", "arm64", "v8")),
        ("linux/arm/v7", Platform("linux", "arm", "v6")),
        # Most configs of arm images state no variant, whichever they are for.
        ("linux/arm/v6", Platform("linux", "arm")),
        ("linux/amd64/v2", Platform("linux", "amd64")),
        # What holds only data, made from nothing, states nothing; what is not stated contradicts nothing.
        ("linux/amd64", Platform("", "")),
        ("linux/amd64", Platform("", "amd64")),
        ("linux/arm64", Platform("linux", "")),
    ],
)
def test_a_config_that_does_not_contradict_the_request_is_confirmed(wanted: str, config: Platform) -> None:
    confirm(config, Platform.parse(wanted), "oci:image")


@pytest.mark.parametrize(
    ("wanted", "config", "stated"),
    [
        ("linux/amd64", Platform("linux", "arm64", "v8"), "linux/arm64/v8"),
        ("linux/amd64", Platform("windows", "amd64"), "windows/amd64"),
        ("linux/arm/v6", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("linux/amd64", Platform("", "arm64"), "unknown/arm64"),
        ("linux/amd64", Platform("windows", ""), "windows/unknown"),
    ],
)
def test_a_config_of_another_platform_is_refused(wanted: str, config: Platform, stated: str) -> None:
    with pytest.raises(PlatformNotFound) as caught:
        confirm(config, Platform.parse(wanted), "oci:image")
    assert str(caught.value) == f"oci:image: no image for {wanted}; available: {stated}"
