"""What refers to a manifest: listed whether the registry keeps account of it or not, and lost to nobody in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from support.images import OCI, digest, dumps
from support.proxy import Answer, Fault, Proxy
from support.pushed import get, manifest
from support.registry import Registry
from support.remote import listen_to

from builder.events import Event as Told
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess
from builder.registry.referrers import refer, referrers
from builder.registry.repository import Repository

SUBJECT = Digest.of(b"what is referred to")
TAG = f"sha256-{SUBJECT.hex}"
KIND, OTHER = "application/vnd.in-toto+json", "application/vnd.cyclonedx+json"


class Meanwhile(Event):
    """What happens while a push waits."""

    def __init__(self, happen: Callable[[], None]) -> None:
        super().__init__()
        self.happen = happen

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert 0 < timeout <= 2
        self.happen()
        return False


@contextmanager
def repository(
    host: str, path: str, meanwhile: Callable[[], None] = lambda: None, listen: Callable[[Told], None] = ignore
) -> Iterator[Repository]:
    opened = Repository(host, path, RegistryAccess(), Meanwhile(meanwhile), listen, push=True)
    try:
        yield opened
    finally:
        opened.close()


def entry(registry: Registry, path: str, artifact_type: str, number: int) -> Descriptor:
    """A manifest that is there, as an index has it."""
    config = registry.push_blob(path, b"{}")
    described = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2}
    fields = {"schemaVersion": 2, "mediaType": f"{OCI}manifest.v1+json", "artifactType": artifact_type}
    data = dumps({**fields, "config": described, "layers": [], "annotations": {"number": str(number)}})
    registry.push_manifest(path, digest(data), data, f"{OCI}manifest.v1+json")
    return Descriptor(f"{OCI}manifest.v1+json", Digest.of(data), len(data), artifact_type=artifact_type)


def index_of(*entries: Descriptor) -> bytes:
    listed = [
        {
            "mediaType": each.media_type,
            "digest": str(each.digest),
            "size": each.size,
            "artifactType": each.artifact_type,
        }
        for each in entries
    ]
    return dumps({"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": listed})


def listed(registry: Registry, path: str) -> list[str]:
    return [each["digest"] for each in manifest(registry.host, path, TAG)["manifests"]]


def test_an_entry_that_a_slower_writer_took_away_is_put_there_again(registry: Registry) -> None:
    mine, another = (entry(registry, "race/slow", KIND, number) for number in range(2))
    often = [1]

    def write_over() -> None:
        # It had read before we wrote.
        if often.pop() if often else 0:
            registry.push_manifest("race/slow", TAG, index_of(another), f"{OCI}index.v1+json")

    with repository(registry.host, "race/slow", write_over) as place:
        refer(place, SUBJECT, mine)
    assert listed(registry, "race/slow") == [str(another.digest), str(mine.digest)]


def test_several_entries_are_written_at_once_and_none_twice(proxy: Proxy, registry: Registry) -> None:
    first, second = entry(registry, "race/two", KIND, 1), entry(registry, "race/two", OTHER, 2)
    with repository(proxy.host, "race/two") as place:
        refer(place, SUBJECT, first)
        refer(place, SUBJECT, first, second)
        refer(place, SUBJECT, first, second)
    assert listed(registry, "race/two") == [str(first.digest), str(second.digest)]
    assert len(proxy.sent(f"PUT .*{TAG}")) == 2


def test_what_was_read_and_no_other_is_replaced_where_the_registry_heeds_that(proxy: Proxy, registry: Registry) -> None:
    first, second, third = (entry(registry, "race/mark", KIND, number) for number in range(3))
    with repository(proxy.host, "race/mark") as place:
        refer(place, SUBJECT, first)
        mark = digest(get(registry.host, f"/v2/race/mark/manifests/{TAG}")[1])
        proxy.requests.clear()
        refused = Answer(412, {}, b"")
        proxy.faults.append(Fault(f"PUT .*{TAG}", 1, answer=refused))
        refer(place, SUBJECT, second)
        (one, two) = proxy.sent(f"PUT .*{TAG}")
        assert one.headers["If-Match"] == two.headers["If-Match"] == f'"{mark}"'
        # A mark that never fits is left out in the end.
        proxy.faults.append(Fault(f"PUT .*{TAG}", 7, answer=refused))
        refer(place, SUBJECT, third)
    assert "If-Match" not in proxy.sent(f"PUT .*{TAG}")[-1].headers
    assert listed(registry, "race/mark") == [str(each.digest) for each in (first, second, third)]


def test_they_are_listed_by_type_from_the_tag_of_a_registry_without_an_account(registry: Registry) -> None:
    one, two = entry(registry, "listed/tag", KIND, 1), entry(registry, "listed/tag", OTHER, 2)
    with repository(registry.host, "listed/tag") as place:
        assert list(referrers(place, SUBJECT, KIND)) == []
        refer(place, SUBJECT, one, two)
        assert [each.digest for each in referrers(place, SUBJECT, KIND)] == [one.digest]
        assert [each.digest for each in referrers(place, SUBJECT, OTHER)] == [two.digest]


@pytest.mark.parametrize("kind", [{}, {"artifactType": ""}, {"artifactType": "application/vnd.oci.empty.v1+json"}])
def test_what_is_listed_without_its_type_may_be_of_any(proxy: Proxy, kind: dict[str, str]) -> None:
    entry = {"mediaType": f"{OCI}manifest.v1+json", "digest": str(described(1).digest), "size": 1, **kind}
    proxy.faults.append(Fault("GET .*/referrers/", answer=answer(dumps({"manifests": [entry]}))))
    with repository(proxy.host, "listed/untyped") as place:
        assert [each.digest for each in referrers(place, SUBJECT, KIND)] == [described(1).digest]


def test_the_images_of_what_is_referred_to_do_not_refer_to_it(proxy: Proxy) -> None:
    """GitLab's registry takes the tag for the digest that is in it."""
    index = index_of(described(1))
    proxy.faults.append(Fault("GET .*manifests/sha256-", answer=answer(index)))
    heard: list[str] = []
    with repository(proxy.host, "listed/gitlab", listen=listen_to(heard)) as place:
        assert list(referrers(place, Digest.of(index), KIND)) == []
        refer(place, Digest.of(index), described(2))
    assert heard[0].endswith(": is no index of what refers to an image; it stays")
    assert proxy.sent("PUT") == []


def answer(body: bytes, **headers: str) -> Answer:
    return Answer(200, {"Content-Type": f"{OCI}index.v1+json", **headers}, body)


def described(number: int, artifact_type: str = KIND) -> Descriptor:
    return Descriptor(f"{OCI}manifest.v1+json", Digest.of(b"%d" % number), number, artifact_type=artifact_type)


def test_they_are_listed_page_by_page_by_a_registry_that_keeps_account(proxy: Proxy) -> None:
    one, two, other = described(1), described(2), described(3, OTHER)
    further = f'</v2/listed/pages/referrers/{SUBJECT}?n=1>; rel="next"'
    proxy.faults.append(Fault("GET .*/referrers/.*n=1", answer=answer(index_of(two))))
    proxy.faults.append(Fault("GET .*/referrers/", answer=answer(index_of(other, one), Link=further)))
    with repository(proxy.host, "listed/pages") as place:
        assert [each.digest for each in referrers(place, SUBJECT, KIND)] == [one.digest, two.digest]
    assert proxy.sent("GET .*/referrers/")[0].path.endswith("?artifactType=application%2Fvnd.in-toto%2Bjson")


NO_ACCOUNT = {
    # Harbor up to version 2.7, without a challenge.
    "denied": Answer(401, {}, b'{"errors":[{"code":"UNAUTHORIZED"}]}'),
    # A cache of another registry, as Harbor's up to version 2.14: it has an account of its own.
    "empty": answer(dumps({"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": []})),
    # GHCR, to pages of a web site, which then say that it was often enough.
    "elsewhere, too often": Answer(303, {"Location": "http://ELSEWHERE/busy"}, b""),
    # registry.k8s.io, to where people log in.
    "elsewhere, a page": Answer(307, {"Location": "http://ELSEWHERE/page"}, b""),
}


@pytest.mark.parametrize("case", NO_ACCOUNT)
def test_a_registry_without_an_account_is_asked_for_the_tag_however_it_says_so(
    proxy: Proxy, registry: Registry, case: str
) -> None:
    path = f"listed/{len(case)}"
    mine = entry(registry, path, KIND, 1)
    elsewhere = Proxy(registry.host)
    elsewhere.faults.append(Fault("GET /busy", answer=Answer(429, {"Retry-After": "60"}, b"")))
    elsewhere.faults.append(Fault("GET /page", answer=Answer(200, {"Content-Type": "text/html"}, b"<html>")))
    elsewhere.start()

    def point(said: Answer) -> None:
        said.set("Location", (said.header("Location") or "").replace("ELSEWHERE", elsewhere.host) or None)

    proxy.faults.append(Fault("GET .*/referrers/", answer=NO_ACCOUNT[case], change=point))
    try:
        with repository(proxy.host, path) as place:
            refer(place, SUBJECT, mine)
            assert [each.digest for each in referrers(place, SUBJECT, KIND)] == [mine.digest]
    finally:
        elsewhere.stop()


def test_an_account_at_another_place_counts(proxy: Proxy, registry: Registry) -> None:
    elsewhere = Proxy(registry.host)
    elsewhere.faults.append(Fault("GET /account", answer=answer(index_of(described(1)))))
    elsewhere.start()
    proxy.faults.append(
        Fault("GET .*/referrers/", answer=Answer(307, {"Location": f"http://{elsewhere.host}/account"}, b""))
    )
    try:
        with repository(proxy.host, "listed/gateway") as place:
            assert [each.digest for each in referrers(place, SUBJECT, KIND)] == [described(1).digest]
    finally:
        elsewhere.stop()


@pytest.mark.parametrize("status", [400, 403, 409, 412])
def test_where_the_tag_is_not_taken_that_is_said_and_no_failure(proxy: Proxy, status: int) -> None:
    """As where tags cannot be replaced: the disk has its own already."""
    proxy.faults.append(Fault("PUT ", answer=Answer(status, {}, b"")))
    heard: list[str] = []
    with repository(proxy.host, "listed/immutable", listen=listen_to(heard)) as place:
        refer(place, SUBJECT, described(1))
    (said,) = heard
    assert f"answered {status}" in said
    assert said.endswith(f"; so {TAG} does not list this disk")


@pytest.mark.parametrize("to", ["/v2/listed/endless/referrers/x", "http://192.0.2.1/", "/v2/other"])
def test_pages_end_and_lead_nowhere_else(proxy: Proxy, to: str) -> None:
    further = iter(range(1000))
    endless = Fault("GET /v2/(listed/endless|other)", answer=answer(index_of(described(1))))
    endless.change = lambda said: said.set("Link", f'<{to}?n={next(further)}>; rel="next"')
    proxy.faults.append(endless)
    with repository(proxy.host, "listed/endless") as place:
        assert 1 <= len(list(referrers(place, SUBJECT, KIND))) <= 8


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"manifests": 1}', b"\xff", b'{"manifests": [1, {}, null]}'])
def test_what_cannot_be_read_of_a_list_is_none(proxy: Proxy, body: bytes) -> None:
    proxy.faults.append(Fault("GET .*/referrers/", answer=answer(body)))
    with repository(proxy.host, "listed/odd") as place:
        assert list(referrers(place, SUBJECT, KIND)) == []


@pytest.mark.parametrize("odd", [b"[]", b"{}", b"null", b'"\\ud800"'])
def test_entries_of_others_stay_whatever_they_are(proxy: Proxy, odd: bytes) -> None:
    mine = described(1)
    proxy.faults.append(Fault(f"GET .*{TAG}", 1, answer=answer(b'{"manifests":[{"digest":%s},[]]}' % odd)))
    proxy.faults.append(Fault(f"GET .*{TAG}", answer=answer(index_of(mine))))
    proxy.faults.append(Fault(f"PUT .*{TAG}", answer=Answer(201, {}, b"")))
    with repository(proxy.host, "listed/others") as place:
        refer(place, SUBJECT, mine)
    assert len(proxy.sent("PUT")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # A number of JSON; Infinity, which Python would write for it, is none.
        (b'{"manifests":[{"annotations":{"large":1e999}}]}', "has a number beyond all that can be written again"),
        # The disk has its own tag already: its push does not fail for it.
        (b"", "is no index of what refers to an image"),
    ],
)
def test_a_list_that_cannot_be_written_again_stays_and_is_said(proxy: Proxy, content: bytes, said: str) -> None:
    proxy.faults.append(Fault(f"GET .*{TAG}", answer=answer(content)))
    heard: list[str] = []
    with repository(proxy.host, "listed/beyond", listen=listen_to(heard)) as place:
        refer(place, SUBJECT, described(1))
    assert heard == [f"{proxy.host}/listed/beyond:{TAG}: {said}; it stays"]
    assert proxy.sent("PUT") == []


@pytest.mark.heavy
def test_a_full_list_is_left_as_it_is_and_said(proxy: Proxy) -> None:
    full = json.loads(index_of(*(described(number) for number in range(10_000))))
    for each in full["manifests"]:
        each["annotations"] = {"long": "x" * 180}
    data = dumps(full)
    assert len(data) < 4 << 20
    proxy.faults.append(Fault(f"GET .*{TAG}", answer=answer(data)))
    proxy.faults.append(Fault("GET .*/referrers/", answer=Answer(404, {}, b"")))
    heard: list[str] = []
    big = Descriptor("x", Digest.of(b"big"), 1, annotations={"long": "x" * (1 << 20)})
    with repository(proxy.host, "listed/full", listen=listen_to(heard)) as place:
        assert len(list(referrers(place, SUBJECT, KIND))) == 10_000
        refer(place, SUBJECT, big)
    assert heard == [f"{proxy.host}/listed/full:{TAG}: lists 10000, and has no room for more; remove some"]
    assert proxy.sent("PUT") == []
