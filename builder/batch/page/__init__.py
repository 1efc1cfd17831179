"""A batch as one page to look at: self-contained, asks no network for anything, and does without its script.

All that comes from images, lists and registries is text here (markup.py); a Content-Security-Policy lets nothing load,
and nothing run but the page's own script, by its digest.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from string import Template

from builder.batch.page.disks import disks, failures
from builder.batch.page.facts import Facts, gather
from builder.batch.page.markup import Html, tag, text
from builder.batch.page.table import table
from builder.batch.page.timeline import seconds, timeline
from builder.batch.report import Outcome, summary
from builder.sizes import human_size
from builder.tree.contents import Contents

_POLICY = "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'"


def render_page(outcomes: Sequence[Outcome], contents: Mapping[int, Contents]) -> bytes:
    """Render the page; `contents` says of disks that are there what they hold, by the line of the list."""
    facts = gather(outcomes, contents)
    style, script = _asset("page.css"), _asset("page.js")
    words = {
        "title": text(summary(outcomes)),
        "policy": text(_POLICY.format(_digest(style), _digest(script))),
        "style": style,
        "script": script,
        "heading": text(_heading(outcomes)),
        "figures": tag("dl", *_figures(facts), class_="figures"),
        "failures": failures(facts),
        "images": table(facts) if facts.rows else tag("p", "The list names no image."),
        "time": _time(facts),
        "disks": disks(facts),
    }
    # Bytes of names that are no UTF-8 were escaped, and so was all that is not to be printed.
    return Template(_asset("page.html")).substitute(words).encode()


def _asset(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _digest(words: str) -> str:
    return f"'sha256-{b64encode(sha256(words.encode()).digest()).decode()}'"


def _heading(outcomes: Sequence[Outcome]) -> str:
    well = sum(outcome.well for outcome in outcomes)
    if not outcomes:
        return "No images"
    if well == len(outcomes):
        return "The disk is there" if well == 1 else f"All {well} disks are there"
    return f"{well} of {len(outcomes)} disks are there"


def _figures(facts: Facts) -> Iterator[Html]:
    """Count what matters of the whole."""
    counts: dict[str, int] = {}
    for row in facts.rows:
        counts[row.outcome.status] = counts.get(row.outcome.status, 0) + 1
    for status, count in counts.items():
        yield _figure(status.capitalize(), str(count))
    if facts.ended is not None:
        yield _figure("Time", seconds(facts.ended))
    if facts.size:
        yield _figure("Disks", human_size(facts.size))
    if facts.distinct_bytes:
        shared = "" if facts.distinct_bytes == facts.layer_bytes else f"{human_size(facts.layer_bytes)} without sharing"
        yield _figure("Layers", human_size(facts.distinct_bytes), shared)
    if facts.wasted is not None:
        yield _figure("Wasted", human_size(facts.wasted), "deleted or replaced by upper layers" if facts.wasted else "")


def _figure(name: str, value: str, more: str = "") -> Html:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", more) if more else ""))


def _time(facts: Facts) -> Html:
    if facts.ended is None:
        return Html()
    drawn = timeline(facts.rows, facts.ended)
    return tag("section", tag("h2", "When each was built", id="time"), drawn, aria_labelledby="time")


__all__ = ["render_page"]
