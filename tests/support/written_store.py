"""A store written by hand, with an image of two layers."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from support.images import Spec
from support.tars import directory, file, tar

from builder.events import Event
from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.resolve import resolve

LAYERS = (tar(directory("etc"), file("etc/motd", b"first\n")), tar(file("etc/motd", b"last\n")))


APP = Spec(LAYERS, tag="localhost/app:1")


def image(text: str, platform: str | None = None, said: list[Event] | None = None) -> Image:
    means = Means() if said is None else Means(listen=said.append)
    with closing(open_source(text, means=means)) as source:
        return resolve(source, text, Platform.parse(platform) if platform else None)


def contents(text: str) -> list[bytes]:
    with closing(open_source(text)) as source:
        found = []
        for layer in resolve(source, text, None).layers:
            with source.open(layer.descriptor) as blob:
                found.append(blob.read())
        return found


def layer_ids(store: Path) -> list[str]:
    return [each["id"] for each in json.loads((store / "overlay-layers/layers.json").read_text())]
