"""What is offered where a registry has not what is meant: images for other platforms, other tags."""

from __future__ import annotations

import json

import pytest
from support.images import Spec
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry
from support.remote import read_image
from support.tars import file, tar

from builder.errors import BlobMissing, ImageNotFound
from builder.image.platform import Platform
from builder.sources.access import Access

LAYERS = (tar(file("file", b"content")),)
OTHERS = ("linux/mips64le", "linux/ppc64le")
BY_DIGEST = "GET .*/offered/manifests/sha256:"


@pytest.fixture(autouse=True)
def _index(registry: Registry) -> None:
    registry.push("offered", *(Spec(LAYERS, platform=name) for name in (str(Platform.host()), *OTHERS)), nested=True)


@pytest.fixture
def missing(proxy: Proxy) -> Proxy:
    """A registry that does not have the image for this machine."""
    proxy.faults.append(Fault(BY_DIGEST, 1, answer=Answer(404, {}, b"")))
    return proxy


def refusal(proxy: Proxy, access: Access) -> str:
    with pytest.raises(BlobMissing) as caught:
        read_image(f"docker://{proxy.host}/offered", access)
    return str(caught.value)


def test_images_for_others_are_offered(missing: Proxy, access: Access) -> None:
    assert refusal(missing, access).endswith(f"not there; there is the image for --platform {' or '.join(OTHERS)}")


def test_what_is_found_out_for_a_message_is_worth_no_second_wait(missing: Proxy, access: Access) -> None:
    missing.faults.append(Fault(BY_DIGEST, answer=Answer(503, {}, b"")))
    assert refusal(missing, access).endswith("not there")
    assert len({each.path for each in missing.sent(BY_DIGEST)}) == 2


def test_what_belongs_to_a_digest_is_no_tag_to_choose(proxy: Proxy, access: Access) -> None:
    signed = [f"sha256-{number:064x}{end}" for number in range(40) for end in ("", ".att", ".sig")]
    answer = Answer(200, {}, json.dumps({"tags": [*signed[:97], "v1", "v2", "sha256-short"]}).encode())
    proxy.faults.append(Fault("tags/list", answer=answer))
    with pytest.raises(ImageNotFound, match=r"has no tag '2\.0'; choose one of these: v1, v2, sha256-short$"):
        read_image(f"docker://{proxy.host}/faults:2.0", access)
