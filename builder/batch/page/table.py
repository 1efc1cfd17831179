"""The table of images: a row for each, which a script sorts and filters where scripts run."""

from __future__ import annotations

from collections.abc import Sequence

from builder.batch.page.facts import Facts, Row
from builder.batch.page.markup import Html, join, tag
from builder.batch.page.timeline import seconds
from builder.batch.report import BUILT, CANCELLED, FAILED, UP_TO_DATE
from builder.sizes import human_size

# Beside the words, for who does not see colours.
_MARKS = {BUILT: "●", UP_TO_DATE: "○", FAILED: "✕", CANCELLED: "-"}
_COLUMNS = ("Image", "Status", "Time", "Size", "Layers", "Wasted")
_NUMBERS = _COLUMNS[2:]


def status(words: str) -> Html:
    """Write a status as a word with a mark and a colour."""
    mark = tag("i", _MARKS.get(words, "…"), aria_hidden="true")
    return tag("span", mark, words, class_=f"status {words.replace(' ', '-')}")


def table(facts: Facts) -> Html:
    """Write the form that filters, and the table."""
    head = (tag("th", name, scope="col", class_="n" if name in _NUMBERS else None) for name in _COLUMNS)
    body = tag("tbody", *map(_row, facts.rows))
    caption = tag("caption", "Images in the order of the list", class_="unseen")
    whole = tag("table", caption, tag("thead", tag("tr", *head)), body)
    return join(_filter(facts.rows), tag("div", whole, class_="wide"))


def _filter(rows: Sequence[Row]) -> Html:
    found = dict.fromkeys(row.outcome.status for row in rows)
    choices = [tag("option", "all", value=""), *(tag("option", each, value=each) for each in found)]
    words = tag("label", tag("span", "Find"), tag("input", type="search", id="find", autocomplete="off"))
    chosen = tag("label", tag("span", "Status"), tag("select", *choices, id="status"))
    shown = tag("output", f"{len(rows)} images", id="shown", for_="find status")
    # A script shows it: without one it does nothing.
    return tag("form", words, chosen, shown, id="filter", hidden=True)


def _row(row: Row) -> Html:
    outcome = row.outcome
    name = tag("a", row.name, href=f"#{row.anchor}")
    layers = len(outcome.layers)
    wasted = row.contents.wasted if row.contents else None
    return tag(
        "tr",
        tag("th", name, tag("small", outcome.reference), scope="row"),
        tag("td", status(outcome.status)),
        _number(outcome.seconds, "" if outcome.seconds is None else seconds(outcome.seconds)),
        _number(outcome.size, "" if outcome.size is None else human_size(outcome.size)),
        _number(layers or None, _layers(layers, row.shared)),
        _number(wasted, "" if wasted is None else human_size(wasted) if wasted else "none"),
        data_s=outcome.status,
    )


def _layers(count: int, shared: int) -> Html:
    if not count:
        return Html()
    return join(str(count), tag("small", f"{shared} shared") if shared else "")


def _number(value: float | None, words: str) -> Html:
    return tag("td", words, class_="n", data_v=None if value is None else f"{value:.12g}")
