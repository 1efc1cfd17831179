"""Where a disk's bytes are, as rectangles: a map for each directory, which is entered by a link and left by another.

Laid out here and plain SVG: it is there without a script. Each cell is an SVG of its own, placed in percent, so that
the map is as wide as the page and its words stay as large as others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import squarify

from builder.batch.page.markup import Html, tag
from builder.sizes import human_size

# What a map is laid out for, in any unit; narrower pages squeeze it.
_WIDTH, _HEIGHT = 240, 80
# In percent: words have no room in less.
_READABLE_WIDTH, _READABLE_HEIGHT, _TWO_LINES = 5, 9, 18
_LEAST_SHARE = 0.002
# Where a map has so many cells, there are few of them, and room in the page.
_RICH = 40
# In percent: narrower words are for wide pages alone; and a directory this large shows what it is made of.
_NARROW, _ROOMY_WIDTH, _ROOMY_HEIGHT = 16, 12, 30


@dataclass(slots=True, eq=False)
class _Place:
    """A directory or file of a map, by its path; `anchor` is where its own map is, if it has one."""

    path: str
    size: int
    above: _Place | None = None
    below: list[_Place] = field(default_factory=list)
    anchor: str = ""

    @property
    def name(self) -> str:
        """The last component of its path; a directory's ends in a slash."""
        end = "/" if self.path.endswith("/") else ""
        return self.path.rstrip("/").rpartition("/")[2] + end


def treemaps(largest: Mapping[str, int], size: int, anchor: str, most: int) -> Html:
    """Draw the `most` largest of `largest`, by path as Contents has them, of a disk that holds `size` bytes."""
    root = _tree(largest, size, most)
    if not root.below:
        return Html()
    maps = list(_entered(root, anchor))
    return tag("div", *(_map(place, root, rich=most >= _RICH) for place in maps), class_="maps")


def _tree(largest: Mapping[str, int], size: int, most: int) -> _Place:
    root = _Place("/", size)
    places = {"/": root}
    # The largest of all, not the first: what is above something is larger, and comes before it.
    chosen = sorted(largest, key=lambda path: -largest[path])[:most]
    wanted = set(chosen)
    for path, bytes_ in largest.items():
        above = places.get(path.rstrip("/").rpartition("/")[0] + "/")
        # A millionth of a map is not to be seen, and far smaller parts come to no size at all when they are laid out.
        if path in wanted and above is not None and above.size >> 20 < bytes_ <= above.size:
            places[path] = _Place(path, bytes_, above)
            above.below.append(places[path])
    return root


def _entered(root: _Place, anchor: str) -> Iterator[_Place]:
    """Yield what has a map of its own, the root first, and give each its anchor."""
    stack, count = [root], 0
    while stack:
        place = stack.pop()
        if place.below:
            place.anchor = f"{anchor}-{count}" if count else anchor
            count += 1
            yield place
            stack += reversed(place.below)


def _map(place: _Place, root: _Place, *, rich: bool) -> Html:
    cells = [_cell(*part, root, rich=rich) for part in _parts(place)]
    return tag(
        "figure",
        tag("figcaption", tag("p", *_trail(place)), tag("span", _total(place, root))),
        tag("svg", *cells, role="group", aria_label=place.path),
        class_="map" if place.above else "map root",
        id=place.anchor,
        tabindex="-1",
    )


def _trail(place: _Place) -> list[Html]:
    steps = [tag("b", place.name if place.above else "/")]
    above = place.above
    while above is not None:
        steps.append(tag("a", above.name if above.above else "/", href=f"#{above.anchor}"))
        above = above.above
    return steps[::-1]


def _total(place: _Place, root: _Place) -> str:
    return f"{human_size(place.size)}, {_share(place.size, root.size)}" if place.above else human_size(place.size)


def _parts(place: _Place) -> list[tuple[_Place | None, int, Mapping[str, float]]]:
    """Lay out what is in a directory, what has no place of its own together as None: sizes, and where in percent."""
    parts: list[_Place | None] = [*place.below]
    sizes = [each.size for each in place.below]
    rest = place.size - sum(sizes)
    if rest > place.size * _LEAST_SHARE:
        parts.append(None)
        sizes.append(rest)
    # The layout wants them in this order, the rest among them.
    order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
    areas = squarify.normalize_sizes([sizes[number] for number in order], _WIDTH, _HEIGHT)
    cells = squarify.squarify(areas, 0, 0, _WIDTH, _HEIGHT)
    scale = {"x": 100 / _WIDTH, "dx": 100 / _WIDTH, "y": 100 / _HEIGHT, "dy": 100 / _HEIGHT}
    places = [{key: value * scale[key] for key, value in cell.items()} for cell in cells]
    return [(parts[number], sizes[number], at) for number, at in zip(order, places, strict=True)]


def _cell(part: _Place | None, size: int, cell: Mapping[str, float], root: _Place, *, rich: bool) -> Html:
    width, height = cell["dx"], cell["dy"]
    name = part.name if part else "other files"
    inside: list[Html] = [tag("title", f"{name}: {human_size(size)}, {_share(size, root.size)}"), tag("rect")]
    if rich and part and part.below and width >= _ROOMY_WIDTH and height >= _ROOMY_HEIGHT:
        inside += (tag("rect", **_placed(at)) for _, _, at in _parts(part))
    if width >= _READABLE_WIDTH and height >= _READABLE_HEIGHT:
        inside.append(tag("text", name, x="8", y="18"))
        if height >= _TWO_LINES:
            inside.append(tag("text", human_size(size), x="8", y="35"))
    kind = "o" if part is None else "d" if part.anchor else "f"
    drawn = tag("svg", *inside, **_placed(cell), class_=kind if width >= _NARROW else f"{kind} s")
    if part is None or not part.anchor:
        return drawn
    return tag("a", drawn, href=f"#{part.anchor}", aria_label=f"{name}, {human_size(size)}")


def _placed(cell: Mapping[str, float]) -> dict[str, str]:
    names = {"x": "x", "y": "y", "width": "dx", "height": "dy"}
    return {name: f"{cell[key]:.4g}%" for name, key in names.items()}


def _share(size: int, whole: int) -> str:
    return f"{size / whole * 100:.1f} %" if whole else "0 %"
