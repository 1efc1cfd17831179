"""HTML in which a string is text unless this file made it: the words of images, registries and files are anybody's."""

from __future__ import annotations

from html import escape

from builder.words import legible

# What is longer than any path is cut: errors may quote what archives say.
_LONGEST = 4096
# Elements without an end (HTML, "void elements").
_VOID = frozenset({"input", "rect", "br", "line"})


class Html(str):
    """Markup, made by `tag` or `join` alone."""

    __slots__ = ()


def text(words: str) -> Html:
    """Make text of anybody's words: escaped for people (words.py) and for HTML."""
    return words if isinstance(words, Html) else Html(escape(legible(words, _LONGEST)))


def tag(name: str, *content: str, **attributes: str | float | bool | None) -> Html:
    """Make an element; content and attributes that are not Html are text.

    `class_` and `for_` are `class` and `for`, other underscores hyphens. True is an attribute without a value, and
    None or False is none.
    """
    said = "".join(
        f" {key.strip('_').replace('_', '-')}" + ("" if value is True else f'="{text(_written(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{said}/>" if name in ("rect", "line") else f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(*content)}</{name}>")


def join(*content: str, by: str = "") -> Html:
    """Put content together, strings as text; between the parts stands `by`."""
    return Html(text(by).join(map(text, content)))


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.5g}"
