"""A command that copies images into the store gives up all files and networks but those of the images and the store.

It does so before it reads a word of an image's documents, or anything of an archive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.actions.confinement import Places, confine, places_of, why_unknown
from builder.actions.opening import own_scratch
from builder.actions.pull import open_to_pull
from builder.errors import BuilderError
from builder.events import Listener
from builder.files.lasting import make_lasting
from builder.options import BuildOptions
from builder.sandbox.policy import policy
from builder.sources.reference import parse_reference
from builder.sources.source import Fetching, Source
from builder.store import open_store
from builder.store.rooms.directory_file import using


@dataclass(frozen=True, slots=True)
class ToPull:
    """Images that are to be copied, in their order; `tmpdir` is where archives are unpacked, if any are to be."""

    tmpdir: Path | None
    opened: Sequence[Source | BuilderError | None]

    def source(self, position: int) -> Source | None:
        """Give what was opened already of an image, to be closed by who takes it; raises what kept it from that."""
        found = self.opened[position]
        if isinstance(found, BuilderError):
            raise found
        return found


@contextmanager
def confined_to_pulls(references: Sequence[str], options: BuildOptions, listen: Listener) -> Iterator[ToPull]:
    """Give up all but what it takes to copy these images into the store; see `confine`.

    Those that have names are opened before: who opens them reads files of settings. Raises UsageError,
    MissingRequirement.
    """
    with policy(options.sandbox), ExitStack() as stack:
        opened = [_opened(reference, options, listen, stack) for reference in references]
        tmpdir, room = options.tmpdir, Places()
        if any(map(_may_be_packed, references)):
            tmpdir, room = own_scratch(tmpdir, "pull", listen, stack)

        def find() -> Places | str:
            needed = room + Places(filter(None, [options.access.verify_key]))
            for reference, source in zip(references, opened, strict=True):
                there = source if not isinstance(source, BuilderError) else None
                if (reason := why_unknown(there, reference, options.access)) is not None:
                    return reason
                needed += places_of(there, reference)
            for each in opened:
                if isinstance(each, Fetching):
                    each.stay()
            # Last: a store at a URL is no directory, and nothing that can be made.
            return needed + Places(changed=_store(options))

        confine(find)
        yield ToPull(tmpdir, opened)


def _opened(reference: str, options: BuildOptions, listen: Listener, stack: ExitStack) -> Source | BuilderError | None:
    if parse_reference(reference).names_a_file:
        return None
    try:
        source = open_to_pull(reference, options.access, options.limits, options.tmpdir, listen)
    except BuilderError as error:
        # Said when it is this one's turn.
        return error
    return stack.enter_context(closing(source))


def _may_be_packed(reference: str) -> bool:
    parsed = parse_reference(reference)
    return parsed.names_a_file and not parsed.is_url and not os.path.isdir(parsed.place)


def _store(options: BuildOptions) -> list[str]:
    with closing(open_store(options.access.store)) as store:
        # What is wrong with it, the store says, and not later what is confined.
        with using(store.place):
            make_lasting(os.path.abspath(store.place))
        return store.directories()
