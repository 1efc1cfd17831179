"""Where an image's bytes are, for people: a line for each layer, directory, file and loss, cut to the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from builder.actions.look import Look
from builder.cli.columns import fitted, terminal_size
from builder.sizes import counted, human_size
from builder.tree.history import LayerUse, Loss
from builder.tree.sums import Branch, Sums
from builder.words import legible

# Lines of the tree where nobody says how many, at least, and at most; a terminal's height decides between.
_FEWEST, _MOST = 10, 40
# Lines of each other list, at most, where nobody says how many.
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Room:
    """How much is shown: lines of the tree, of each list, levels of directories, and columns of each line."""

    tree: int
    listed: int
    depth: int | None
    columns: int


def room(top: int | None, depth: int | None, layers: int) -> Room:
    """Decide how much is shown; `top` and `depth` are what the user asks for."""
    columns, lines = terminal_size()
    if top is not None:
        return Room(top, top, depth, columns)
    # Headings and blank lines take a dozen.
    left = max(lines - min(layers, _MOST) - 12, 0)
    return Room(min(max(left // 2, _FEWEST), _MOST), min(max(left // 4, 3), _LISTED), depth, columns)


def tree_lines(look: Look, room: Room) -> Iterator[str]:
    """Write all that is known of an image's bytes."""
    yield from _cut(_summary(look), room)
    yield ""
    yield from _cut(_layers(look, room), room)
    yield ""
    yield from sums_lines(look.sums, room, by_layer=len(look.layers) > 1)
    if look.losses:
        yield ""
        yield from _cut(_losses(look.losses, room), room)


def sums_lines(sums: Sums, room: Room, *, by_layer: bool) -> Iterator[str]:
    """Write the largest directories and files as a tree, and the largest files."""
    yield from _cut(_tree(sums.largest(room.tree, room.depth), by_layer), room)
    yield ""
    yield from _cut(_biggest(sums, room, by_layer), room)


def _cut(lines: Iterator[str], room: Room) -> Iterator[str]:
    return (fitted(line, room.columns).rstrip() for line in lines)


def _summary(look: Look) -> Iterator[str]:
    brought = sum(layer.brought for layer in look.layers)
    count = len(look.layers)
    yield f"Content:      {human_size(look.sums.total.size)} in {look.sums.total.files} files"
    yield f"Wasted:       {human_size(look.wasted)} of the {human_size(brought)} in {counted(count, 'layer')}"
    yield f"Efficiency:   {look.efficiency * 100:.1f} % (as dive counts it)"


def _layers(look: Look, room: Room) -> Iterator[str]:
    yield f"{'layer':>5}  {'packed':>10}  {'content':>10}  {'wasted':>10}  {'files':>7}  made by"
    made_by = _steps(look)
    for number, layer in enumerate(look.layers[: max(room.tree, room.listed)]):
        packed = look.image.layers[number].descriptor.size
        yield (
            f"{number + 1:5}  {human_size(packed):>10}  {human_size(layer.brought):>10}  "
            f"{_waste(layer):>10}  {layer.files:7}  {made_by[number]}"
        )
    yield from _more(len(look.layers) - max(room.tree, room.listed), "layer")


def _waste(layer: LayerUse) -> str:
    return human_size(layer.brought - layer.kept) if layer.brought > layer.kept else "-"


def _steps(look: Look) -> Sequence[str]:
    """Say of each layer which command made it, where the config says so of each."""
    steps = [step.created_by or "" for step in look.image.config.history if not step.empty_layer]
    if len(steps) != len(look.layers):
        return [""] * len(look.layers)
    return [legible(" ".join(step[:400].split())) for step in steps]


def _tree(top: Branch, by_layer: bool) -> Iterator[str]:
    yield f"{'size':>10}  {'share':>7}  {'files':>7}  {_column('layer', by_layer)}directory or file"
    for indent, name, branch in _branches(top):
        share = f"{branch.size / top.size * 100:.1f} %" if top.size else ""
        figures = f"{human_size(branch.size):>10}  {share:>7}  {branch.files:7}"
        yield f"{figures}  {_column(_numbers(branch.layers), by_layer)}{indent}{name}"


def _branches(top: Branch) -> Iterator[tuple[str, str, Branch]]:
    """Yield each branch with the lines that lead to it, and its name; the depth of a tree is the layers' choice."""
    stack = [("", "", "/", top)]
    while stack:
        own, below, name, branch = stack.pop()
        yield own, name, branch
        last = len(branch.children) - 1
        stack += [
            (
                below + ("└── " if number == last else "├── "),
                below + ("    " if number == last else "│   "),
                legible(child.name) + ("/" if child.directory else ""),
                child,
            )
            for number, child in reversed(list(enumerate(branch.children)))
        ]


def _biggest(sums: Sums, room: Room, by_layer: bool) -> Iterator[str]:
    yield f"{'size':>10}  {_column('layer', by_layer)}biggest files"
    for path, size, layer in sums.largest_files(room.listed):
        yield f"{human_size(size):>10}  {_column(str(layer + 1), by_layer)}/{legible(path)}"
    yield from _more(sums.total.files - room.listed, "file")


def _losses(losses: Sequence[Loss], room: Room) -> Iterator[str]:
    yield f"{'wasted':>10}  {'layer':7}  what upper layers took away"
    for loss in losses[: room.listed]:
        how = f"{'deleted' if loss.deleted else 'replaced'} by {loss.layer + 1}:"
        files = f" ({loss.files} files)" if loss.files > 1 else ""
        yield f"{human_size(loss.size):>10}  {_numbers(loss.layers):7}  {how} /{legible(loss.path)}{files}"
    yield from _more(len(losses) - room.listed, "path")


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"{'':10}  … and {counted(count, f'more {what}')}; --top shows more"


def _column(text: str, shown: bool) -> str:
    return f"{fitted(text, 7):7}  " if shown else ""


def _numbers(layers: Collection[int]) -> str:
    """Write layers as people count them: `1`, `1-3`, `1,4`; of many only the ends."""
    numbers = sorted(number + 1 for number in layers)
    if len(numbers) <= 2:
        return ",".join(map(str, numbers))
    whole = numbers[-1] - numbers[0] + 1 == len(numbers)
    return f"{numbers[0]}{'-' if whole else '..'}{numbers[-1]}"
