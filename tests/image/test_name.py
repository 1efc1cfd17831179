"""Image names, by the grammar that Docker, podman and registries share."""

from __future__ import annotations

import pytest

from builder.errors import InvalidReference
from builder.image.digest import Digest
from builder.image.name import ImageName

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("busybox", ImageName(None, "busybox")),
        ("busybox:1.36", ImageName(None, "busybox", "1.36")),
        ("library/busybox", ImageName(None, "library/busybox")),
        ("quay.io/org/app", ImageName("quay.io", "org/app")),
        ("localhost/app:1", ImageName("localhost", "app", "1")),
        ("localhost:5000/app", ImageName("localhost:5000", "app")),
        ("Host/app", ImageName("Host", "app")),
        ("[::1]:5000/a/b:c", ImageName("[::1]:5000", "a/b", "c")),
        ("127.0.0.1:5000/a__b/c--d.e", ImageName("127.0.0.1:5000", "a__b/c--d.e")),
        (f"app@{DIGEST}", ImageName(None, "app", None, DIGEST)),
        (f"quay.io/app:1@{DIGEST}", ImageName("quay.io", "app", "1", DIGEST)),
    ],
)
def test_a_name_is_taken_apart_and_put_together_again(text: str, name: ImageName) -> None:
    assert ImageName.parse(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("index.docker.io/busybox", "docker.io/library/busybox"),
        ("user/app", "docker.io/user/app"),
        ("quay.io/app", "quay.io/app"),
        ("localhost/app", "localhost/app"),
    ],
)
def test_a_short_name_is_docker_hubs(text: str, full: str) -> None:
    assert str(ImageName.parse(text).qualified()) == full


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no repository"),
        ("Busybox", "'Busybox' is no repository"),
        ("a//b", "'a//b' is no repository"),
        ("../a", "'..' is no registry"),
        ("quay.io/../a", "'../a' is no repository"),
        ("a_-b", "is no repository"),
        ("a:", "'' is no tag"),
        ("a:b c", "'b c' is no tag"),
        ("a:.b", "'.b' is no tag"),
        (f"a:{'b' * 129}", "is no tag"),
        ("a@sha256:12", "takes 64 hex digits"),
        ("a@", "must be written algorithm:hex"),
        ("host:port/a", "'host:port' is no registry"),
        ("-host.com/a", "'-host.com' is no registry"),
        (f"{'a/' * 130}a", "has 261 characters, 255 at most"),
        (DIGEST.hex, "is an image ID"),
        ("a\n", "is no repository"),
    ],
)
def test_what_is_no_name_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageName.parse(text)
    assert reason in caught.value.reason
