"""All that is fuzzed, by name: a new parser is a new line in one of these tables."""

from __future__ import annotations

from support.fuzz import answers, archives, disks, documents, packages, registries, stores, words
from support.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **documents.TARGETS,
    **words.TARGETS,
    **archives.TARGETS,
    **disks.TARGETS,
    **answers.TARGETS,
    **registries.TARGETS,
    **packages.TARGETS,
    **stores.TARGETS,
}

# An input takes most of them some tenths of a millisecond: of so many executions for each target, those where it takes
# more than three milliseconds get one in six, and those where it takes more than one get one in three.
ONE_IN = {
    **dict.fromkeys(("credential-helper", "download", "http", "stored-layer", "upload", "zip"), 6),
    **dict.fromkeys(("bundle", "fetched", "images.json", "init-description", "init-options", "layer"), 3),
    **dict.fromkeys(("layer-packed", "layers.json", "metadata", "modules", "options", "recognised"), 3),
    **dict.fromkeys(("signature", "stored-document", "verify-ext4"), 3),
}
