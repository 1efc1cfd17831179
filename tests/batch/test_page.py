"""The page of a batch: what it says, that it asks nobody for anything, and that nobody's words are markup in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from support.outcomes import HOSTILE, contents, hostile, many, outcomes

from builder.batch.page import render_page
from builder.batch.report import BUILT, Outcome
from builder.tree.contents import Contents
from builder.words import legible

VOID = {"meta", "input"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "article", "script", "h1", "h2",
    "h3", "h4", "p", "pre", "code", "dl", "div", "dt", "dd", "small", "form", "label", "span", "input", "select",
    "option", "output", "table", "caption", "thead", "tbody", "tr", "th", "td", "a", "i", "b", "svg", "text", "rect",
    "line", "details", "summary", "figure", "figcaption", "nav", "ol", "ul", "li",
}  # fmt: skip


class Page(HTMLParser):
    """A page, read strictly: every element has its end, in order."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(html.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append((self.open[-1] if self.open else "", data))

    def text(self, *tags: str) -> str:
        return " ".join(words for tag, words in self.words if tag in tags)

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


def page(found: list[Outcome] | None = None) -> Page:
    return Page(render_page(outcomes() if found is None else found, {1: contents()}))


def test_it_counts_and_names_what_became_of_each_image() -> None:
    read = page()
    assert read.text("h1") == "2 of 4 disks are there"
    assert "1 built, 1 up to date, 1 failed, 1 cancelled" in read.text("title")
    rows = [attributes["data-s"] for tag, attributes in read.elements if tag == "tr" and "data-s" in attributes]
    assert rows == ["built", "up to date", "failed", "cancelled"]
    assert "layer 1 of 1: it is cut; pull it again" in read.text("p")
    assert read.text("code").startswith("rootfs-builder -v build oci:cut -o disks/cut.ext4")
    # Of 7 MiB in layers 4 are distinct; web has two layers, of which db has one, too.
    assert [words for tag, words in read.words if tag == "dd"][6:9] == ["4.0 MiB", "2.4 KiB", "oci:web"]
    assert "1 shared" in read.text("small")
    assert page([]).text("h1") == "No images"


def test_each_link_leads_to_something_and_each_name_is_given_once() -> None:
    read = page()
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    links = read.values("href") + [f"#{id_}" for value in read.values("aria-labelledby") for id_ in value.split()]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert all(link.startswith("#") for link in read.values("href"))
    # One for each directory with something in it: the root, /usr/, /usr/lib/.
    assert [attributes["id"] for tag, attributes in read.elements if tag == "figure"] == ["d1", "d1-1", "d1-2"]


def test_cells_of_a_map_cover_it_by_their_sizes() -> None:
    read = page()
    inside = read.elements[read.elements.index(("figure", {"class": "map root", "id": "d1", "tabindex": "-1"})) :]
    cells = [attributes for tag, attributes in inside if tag == "svg" and "x" in attributes][:3]
    areas = [float((cell["width"] or "")[:-1]) * float((cell["height"] or "")[:-1]) / 10_000 for cell in cells]
    assert [round(area, 2) for area in areas] == [0.6, 0.3, 0.1]
    titles = read.text("title")
    assert "usr/: 5.9 KiB, 60.0 %" in titles
    assert "other files: 1000 B, 10.0 %" in titles


def test_it_loads_nothing_and_runs_nothing_but_its_own() -> None:
    html = render_page(outcomes(), {1: contents()}).decode()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert len(policy) == 1
    assert policy[0].startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "unsafe" not in policy[0]
    assert not re.search(r"https?:|//[a-z]|url\(|@import|srcset|\ssrc=|style=|\son[a-z]+=", html.replace("// ", ""))
    assert html.index("Content-Security-Policy") < html.index("<style>") < html.index("<script>")


def test_words_of_others_are_never_markup() -> None:
    html = render_page(*hostile())
    read = Page(html)
    assert {tag for tag, _ in read.elements} <= ALLOWED
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    # They are there, each as one line that can be read; nothing that turns or moves text is.
    assert legible(HOSTILE) in read.text("small")
    assert read.text("p").count(legible(HOSTILE)) >= 4
    assert all(c.isprintable() or c == "\n" for c in html.decode())


def test_the_same_outcomes_give_the_same_page() -> None:
    assert render_page(outcomes(), {1: contents()}) == render_page(outcomes(), {1: contents()})
    assert b"20" + b"26" not in render_page(outcomes(), {})


@pytest.mark.heavy
def test_two_hundred_images_take_less_than_a_megabyte() -> None:
    html = render_page(*many(200))
    assert len(html) < 1_000_000
    assert Page(html).text("h1") == "All 200 disks are there"


@pytest.mark.heavy
def test_few_images_show_more_of_each() -> None:
    cells = [sum(tag == "rect" for tag, _ in Page(render_page(*many(count))).elements) / count for count in (2, 100)]
    assert cells[0] > 100
    assert cells[1] < 50


def test_it_names_a_disk_as_it_was_pushed() -> None:
    read = Page(render_page([Outcome(1, "oci:a", "a.ext4", BUILT, pushed="host/disks@sha256:0")], {}))
    assert "host/disks@sha256:0" in read.text("dd")


def test_a_disk_without_contents_is_shown_without_a_map() -> None:
    read = Page(render_page([Outcome(1, "oci:a", "a.ext4", BUILT)], {}))
    assert "figure" not in [tag for tag, _ in read.elements]
    assert ("details", {"id": "d1", "open": None}) in read.elements


def test_beside_the_largest_of_files_the_smallest_is_left_out() -> None:
    largest = {"/large": 1 << 62, "/dir/": 1 << 61, "/dir/half": 1 << 60, "/dir/small": 2, "/small": 1}
    held = Contents((1 << 62) + (1 << 61) + 1, 4, 0, largest)
    shown = Page(render_page([Outcome(1, "oci:a", "a.ext4", BUILT)], {1: held}))
    titles = [words.partition(": ")[0] for tag, words in shown.words if tag == "title"][1:]
    assert titles == ["large", "dir/", "half", "other files"]
