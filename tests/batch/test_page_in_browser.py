"""The page of a batch in a browser: axe-core finds nothing serious, keys are enough, and it does without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import AXE, BROWSER, Page, browser
from support.outcomes import contents, hostile, many, outcomes

from builder.batch.page import render_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None or not AXE.exists(), reason="NOT RUN: needs chromium and axe-core; ci/setup brings them"
    ),
]
ENTER = ("Enter", 13, "\r")
ROWS = "[...document.querySelectorAll('tbody tr')].filter((row) => !row.hidden)"
SHOWN = ROWS + ".map((row) => row.querySelector('a').innerText)"
MAPS = "[...document.querySelectorAll('.map')].filter((map) => map.checkVisibility()).map((map) => map.id)"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(render_page(outcomes(), {1: contents(), 2: contents()}))
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_page(
    opened: Page, report: Path, width: int, dark: bool
) -> None:
    opened.open(report, width=width, dark=dark)
    opened.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert opened.findings() == []
    assert opened.value("document.documentElement.scrollWidth <= innerWidth")


def test_words_of_others_run_nothing_and_nothing_is_asked_of_anybody(opened: Page, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_bytes(render_page(*hostile()))
    opened.requested.clear()
    opened.open(path)
    assert opened.value("document.querySelectorAll('img').length") == 0
    assert opened.findings() == []
    assert {url for url in opened.requested if url != "about:blank"} == {path.as_uri()}
    # The policy holds for what somebody would bring into the page, too.
    assert opened.value("fetch('data:,x').then(() => 'fetched', () => 'refused')") == "refused"
    assert [line for line in opened.said if "Content Security Policy" not in line] == []


def test_keys_sort_filter_and_enter_a_map(opened: Page, report: Path) -> None:
    opened.open(report)
    assert opened.value(SHOWN) == ["web.ext4", "db.erofs", "cut.ext4", "late.ext4"]
    opened.value("document.querySelectorAll('thead button')[3].focus()")
    opened.press(*ENTER)
    assert opened.value("document.querySelectorAll('thead th')[3].ariaSort") == "descending"
    assert opened.value(SHOWN)[:2] == ["web.ext4", "db.erofs"]
    opened.press(*ENTER)
    assert opened.value(SHOWN)[-2:] == ["db.erofs", "web.ext4"]
    opened.value("document.querySelector('#find').focus()")
    opened.type("DB.E")
    assert opened.value(SHOWN) == ["db.erofs"]
    assert opened.value("document.querySelector('#shown').innerText") == "1 of 4 images"
    opened.value("document.querySelector('details').open = true; document.querySelector('.map a').focus()")
    assert opened.value(MAPS)[0] == "d1"
    opened.press(*ENTER)
    wait_for(opened, "document.activeElement.id", "d1-1")
    assert opened.value(MAPS)[0] == "d1-1"
    # The first there that takes keys is the way back; not by Tab, which a browser that still draws leads elsewhere.
    assert opened.value("document.querySelector('#d1-1 :is(a, button, [tabindex])').getAttribute('href')") == "#d1"
    opened.value("document.querySelector('#d1-1 a').focus()")
    opened.press(*ENTER)
    wait_for(opened, "document.activeElement.id", "d1")
    assert opened.value(MAPS)[0] == "d1"


def test_without_scripts_everything_is_there_and_maps_are_entered_all_the_same(opened: Page, report: Path) -> None:
    opened.open(report, scripts=False)
    assert len(opened.value(SHOWN)) == 4
    assert opened.value("document.querySelector('#filter').checkVisibility()") is False
    assert opened.value("document.querySelectorAll('thead button').length") == 0
    opened.value("document.querySelector('details').open = true; document.querySelector('.map a').focus()")
    opened.press(*ENTER)
    wait_for(opened, "location.hash", "#d1-1")
    assert opened.value(MAPS)[0] == "d1-1"


def test_many_images_pass_axe_as_well(opened: Page, tmp_path: Path) -> None:
    # Of 200 axe takes more than a minute; their page is of the same parts.
    path = tmp_path / "many.html"
    path.write_bytes(render_page(*many(4)))
    opened.open(path)
    assert opened.findings() == []
    assert opened.value(f"{ROWS}.length") == 4


def wait_for(page: Page, expression: str, wanted: object) -> None:
    """Wait until it is so; navigation takes the time it takes."""
    look = f"const look = () => ({expression}) === {wanted!r} ? done(true) : setTimeout(look, 20)"
    assert page.value(f"new Promise((done) => {{ {look}; look(); }})")
