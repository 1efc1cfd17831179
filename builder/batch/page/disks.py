"""What the page says of each image: what failed and what to do, and of each disk where its bytes are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from builder.batch.page.facts import Facts, Row
from builder.batch.page.markup import Html, join, tag
from builder.batch.page.table import status
from builder.batch.page.treemap import treemaps
from builder.batch.report import FAILED, Part
from builder.sizes import counted, human_size

# By the status that `build` would have exited with.
_ADVICE: Mapping[int, str] = {
    1: "Mend what the message says and run the same list again: what is there already is left as it is. For the "
    "causes of the failure, build this image alone:",
    2: "Correct this line of the list and run it again; what every option takes is in `rootfs-builder build --help`.",
    3: "The image is malformed, damaged or hostile, and other images are not concerned. Export, push or pull it again; "
    "if it is refused again, ask where it comes from. For the causes, build it alone:",
    4: "Install the tool or grant the permission that the message names, on each machine that builds, and run the "
    "same list again.",
}
# Nodes of all maps together: so a page of 200 images stays under 1 MB.
_NODES, _FEWEST, _MOST = 2000, 8, 120
_LAYERS_NAMED = 8


def failures(facts: Facts) -> Html:
    """Write what went wrong, image by image, and what to do; nothing if all went well."""
    failed = [row for row in facts.rows if not row.outcome.well]
    if not failed:
        return Html()
    return tag(
        "section",
        tag("h2", "What did not work", id="failed"),
        *map(_failure, failed),
        aria_labelledby="failed",
    )


def _failure(row: Row) -> Html:
    outcome = row.outcome
    parts = [
        tag("h3", row.name, " ", status(outcome.status)),
        tag("p", outcome.reference, class_="source"),
        tag("p", outcome.error, class_="error") if outcome.error else Html(),
        *_advice(row),
        _notices(row),
    ]
    return tag("article", *parts, id=row.anchor, tabindex="-1")


def _advice(row: Row) -> Iterator[Html]:
    outcome = row.outcome
    if outcome.status != FAILED:
        yield tag("p", "It was not finished. Run the same list again: what is there already is left as it is.")
        return
    yield tag("p", _ADVICE.get(outcome.exit_status, _ADVICE[1]))
    command = f"rootfs-builder -v build {shlex.quote(outcome.reference)} -o {shlex.quote(outcome.output)}"
    # A name that the page has to escape would be another name in a shell.
    if outcome.exit_status in (1, 3) and command.isprintable():
        yield tag("pre", tag("code", command), tabindex="0")


def disks(facts: Facts) -> Html:
    """Write what is known of each disk: digests, layers, and where its bytes are."""
    made = [row for row in facts.rows if row.outcome.well]
    if not made:
        return Html()
    most = max(_FEWEST, min(_MOST, _NODES // len(made)))
    # Of few, all are open to be seen at once.
    return tag(
        "section",
        tag("h2", "Disks", id="disks"),
        *(_disk(row, facts, most, is_open=len(made) <= 3) for row in made),
        aria_labelledby="disks",
    )


def _disk(row: Row, facts: Facts, most: int, *, is_open: bool) -> Html:
    outcome, contents = row.outcome, row.contents
    size = "" if outcome.size is None else human_size(outcome.size)
    summary = tag("summary", tag("h3", row.name), tag("span", size, class_="n"), status(outcome.status))
    known = {
        "Image": outcome.reference,
        "Disk": outcome.output,
        "Built because": outcome.reason,
        "Manifest": outcome.source,
        "SHA-256": outcome.sha256,
        "UUID": outcome.uuid,
        "Pushed": outcome.pushed,
        "Content": contents and f"{human_size(contents.size)} in {contents.files} files",
        "Wasted": contents and contents.wasted and f"{human_size(contents.wasted)} that upper layers took away",
    }
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in known.items() if value]
    drawn = treemaps(contents.largest, contents.size, row.anchor, most) if contents else Html()
    # Links lead to the map of its root, and where there is none, here.
    anchor = None if drawn else row.anchor
    parts = (drawn, tag("dl", *pairs), _layers(outcome.layers, facts.images_with), _notices(row))
    return tag("details", summary, *parts, id=anchor, open=is_open)


def _layers(layers: tuple[Part, ...], images_with: Mapping[str, int]) -> Html:
    if not layers:
        return Html()
    lines = []
    for part in layers[:_LAYERS_NAMED]:
        others = images_with[part.digest] - 1
        shared = f", also in {counted(others, 'other')}" if others else ""
        digest = tag("code", part.digest.partition(":")[2][:12])
        lines.append(tag("li", digest, " ", human_size(part.size), shared))
    more = len(layers) - _LAYERS_NAMED
    rest = tag("p", f"… and {more} more") if more > 0 else Html()
    return join(tag("h4", "Layers, the bottom one first"), tag("ol", *lines), rest)


def _notices(row: Row) -> Html:
    return (
        tag("ul", *(tag("li", notice) for notice in row.outcome.notices), class_="notices")
        if row.outcome.notices
        else Html()
    )
