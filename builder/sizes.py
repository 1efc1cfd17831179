"""Sizes, times and counts for people."""

from __future__ import annotations


def human_size(size: float) -> str:
    """Write a size in bytes: `812 B`, `1.5 MiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def human_time(seconds: float) -> str:
    """Write a time as clocks do: `0:07`, `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def counted(number: int, what: str) -> str:
    """Write so many of `what`, which takes an s: `1 layer`, `2 layers`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
