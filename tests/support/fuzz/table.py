"""All that is fuzzed, by name: a new parser is a new line in one of these tables."""

from __future__ import annotations

from support.fuzz import answers, archives, disks, documents, packages, registries, words
from support.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **documents.TARGETS,
    **words.TARGETS,
    **archives.TARGETS,
    **disks.TARGETS,
    **answers.TARGETS,
    **registries.TARGETS,
    **packages.TARGETS,
}
