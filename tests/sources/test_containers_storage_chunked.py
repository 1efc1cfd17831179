"""Layers in zstd:chunked, of which the store fetches only the parts that it lacks, from a real registry."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.engines import Engine
from support.registry import start_registry

from builder import build
from builder.errors import UnsupportedImage
from builder.sources import open_source
from builder.sources.resolve import resolve
from builder.sources.source import is_rebuilt


@pytest.mark.heavy
def test_a_layer_that_was_pulled_in_parts_gives_the_same_disk_or_is_refused(tmp_path: Path) -> None:
    writer, reader = Engine(tmp_path / "writer"), Engine(tmp_path / "reader")
    conf = '[storage]\ndriver = "overlay"\n[storage.options.pull_options]\nenable_partial_images = "true"\n'
    (tmp_path / "storage.conf").write_text(conf)
    with ExitStack() as running:
        server = start_registry(tmp_path / "registry")
        running.callback(server.stop)
        writer.run(f"""
            mkdir -p ctx/etc; seq 100000 >ctx/large; echo motd >ctx/etc/motd
            ln ctx/large ctx/etc/linked; mkfifo ctx/pipe
            c=$(buildah from scratch); buildah add -q "$c" ctx / >&2; buildah commit -q "$c" localhost/a:1 >&2
            compress=(--format oci --compression-format zstd:chunked)
            buildah push -q --tls-verify=false "${{compress[@]}}" localhost/a:1 docker://{server.host}/a:1
        """)
        reader.run(f"""
            export CONTAINERS_STORAGE_CONF={tmp_path}/storage.conf
            buildah pull -q --tls-verify=false docker://{server.host}/a:1
        """)
    layer = json.loads((reader.root / "overlay-layers/layers.json").read_text())[0]
    if not any(name.startswith("zstd-chunked") for name in layer.get("big-data-names", [])):
        pytest.skip("this buildah pulls layers as a whole only")
    text = reader.reference("a:1")
    with closing(open_source(text)) as source:
        if not list((reader.root / "overlay-layers").glob("*.tar-split.gz")):
            # As versions of 2022 leave it, without its times and its fifos.
            with pytest.raises(UnsupportedImage, match="pull the image without enable_partial_images"):
                resolve(source, text, None)
            return
        assert [is_rebuilt(source, each.descriptor) for each in resolve(source, text, None).layers] == [False]
    disks = [build(each.reference("a:1"), tmp_path / f"{each.place.name}.erofs") for each in (writer, reader)]
    assert disks[0].output.read_bytes() == disks[1].output.read_bytes()
