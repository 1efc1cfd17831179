"""Sizes and times for people, on the command line."""

from __future__ import annotations

from builder.sizes import human_size, human_time

__all__ = ["human_size", "human_time"]
