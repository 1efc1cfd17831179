"""Stores that buildah, podman and skopeo wrote, against the copies that they make of the same images."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.built_store import image, layer, store_copy
from support.command import ENVIRONMENT, argv, run
from support.engines import Engine, enter_namespace
from support.images import Spec, layout
from support.stores import diff_path
from support.tars import directory, file, hardlink, opaque, symlink, tar, whiteout
from support.users import open_to_users

from builder import build
from builder.disk import FILESYSTEMS
from builder.errors import BuilderError
from builder.sources import open_source
from builder.sources.resolve import resolve
from builder.sources.source import is_rebuilt
from fixtures.tar import Member
from fixtures.tar import tar as write_tar


def copied(engine: Engine) -> str:
    return f"oci:{engine.place}/home/copy:1"


def digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def record(engine: Engine, name: str) -> dict[str, object]:
    records = json.loads((engine.root / "overlay-images/images.json").read_text())
    (found,) = [each for each in records if name in each.get("names", [])]
    return dict(found)


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_an_image_that_buildah_built_gives_the_disk_of_its_copy(engine: Engine, tmp_path: Path, format: str) -> None:
    stored = build(engine.reference("localhost/app:1"), tmp_path / f"stored.{format}")
    assert digest(stored.output) == digest(build(copied(engine), tmp_path / f"copied.{format}").output)
    assert len(stored.image.layers) == 2


def test_layers_are_the_tars_that_the_config_promises(engine: Engine) -> None:
    reference = engine.reference("localhost/app:1")
    found = image(reference)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image(copied(engine)).layers]
    with closing(open_source(reference)) as source:
        resolve(source, reference, None)
        for layer in found.layers:
            assert not is_rebuilt(source, layer.descriptor)
            with source.open(layer.descriptor) as tar_file:
                content = tar_file.read()
            assert len(content) == layer.descriptor.size
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == str(layer.diff_id)


def test_config_and_manifest_are_the_images_own(engine: Engine) -> None:
    found = image(engine.reference("localhost/app:1"))
    stated = record(engine, "localhost/app:1")
    assert str(found.digest) == stated["digest"]
    assert found.config_digest.hex == stated["id"]
    assert (found.config.cmd, "A=b" in found.config.env) == (("/bin/sh",), True)


@pytest.mark.parametrize(
    "name",
    [
        "localhost/app:1",
        "app:1",
        "localhost/app:1@{digest}",
        "app@{digest}",
        "{id}",
        "sha256:{id}",
        "@{id}",
        "localhost/app@{id}",
        "{short}",
    ],
)
def test_an_image_is_found_by_every_name_that_podman_and_skopeo_know(engine: Engine, name: str) -> None:
    stated = record(engine, "localhost/app:1")
    full = name.format(digest=stated["digest"], id=stated["id"], short=str(stated["id"])[:12])
    assert image(engine.reference(full)).config_digest.hex == stated["id"]


def test_an_image_that_podman_pulled_and_tagged(engine: Engine) -> None:
    made = layout(engine.place / "home/pulled", Spec((tar(file("pulled", b"1")),)))
    script = f"""
        podman pull -q oci:pulled:latest >&2  # a path that podman makes a name of: lower case
        podman tag {made[0].config[7:]} example.com/x/pulled:2 quay.io/y/short
        podman untag quay.io/y/short example.com/x/pulled:2
        podman tag quay.io/y/short example.com/x/pulled:3
    """
    engine.run(script, tools=("podman",))
    for name in ("example.com/x/pulled:3", "x/pulled:3", "short", "quay.io/y/short:latest"):
        assert str(image(engine.reference(name)).config_digest) == made[0].config
    with pytest.raises(BuilderError, match="there is no such image"):
        image(engine.reference("example.com/x/pulled:2"))


def test_layers_that_skopeo_copied_in_come_out_as_they_went_in(engine: Engine, tmp_path: Path) -> None:
    layers = (
        tar(
            directory("lib"), directory("usr/lib"), symlink("usr/link", "lib"), file("usr/lib/a", b"a" * 70_000),
            # Unpacked through the symlink.
            file("usr/link/b", b"through a symlink"), file("usr/lib/café", b"utf-8"), file(b"usr/lib/\xff", b"raw"),
            file("n" * 150, b"long"), file("etc/passwd", b"x", mtime="1700000000.5"), hardlink("etc/p", "etc/passwd"),
        ),
        tar(opaque("usr/lib"), file("usr/lib/new", b"n"), whiteout("etc/p"), end=bytes(10240)),
        tar(file("usr/lib/new", b"again")),
    )  # fmt: skip
    layout(tmp_path / "oci", Spec(layers))
    engine.run(
        f'skopeo copy -q "oci:{tmp_path}/oci:latest" "containers-storage:${{SPEC}}localhost/odd:1"', tools=("skopeo",)
    )
    reference = engine.reference("odd:1")
    with closing(open_source(reference)) as source:
        found = resolve(source, reference, None)
        for layer, data in zip(found.layers, layers, strict=True):
            with source.open(layer.descriptor) as tar_file:
                assert tar_file.read() == data


def test_a_layer_with_a_sparse_file_is_refused(engine: Engine, tmp_path: Path) -> None:
    """Its exact tar cannot be had from a store: skopeo gets another digest, too."""
    member = Member(b"sparse", size=4 << 20, segments=((0, b"a" * 512), (4 << 20, b"")))
    layout(tmp_path / "oci", Spec((write_tar([member]),)))
    engine.run(
        f'skopeo copy -q "oci:{tmp_path}/oci:latest" "containers-storage:${{SPEC}}localhost/sparse:1"',
        tools=("skopeo",),
    )
    done = run("build", engine.reference("sparse:1"), "-o", tmp_path / "disk.erofs")
    assert done.returncode == 3
    assert "entry 'sparse': was sparse in the layer's tar" in done.stderr
    with pytest.raises(AssertionError, match="Digest did not match"):
        engine.run('skopeo copy "containers-storage:${SPEC}localhost/sparse:1" "dir:$HOME/out"', tools=("skopeo",))


@pytest.mark.heavy
def test_a_manifest_list_is_resolved_by_platform(engine: Engine, tmp_path: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64", "linux/s390x")
    specs = {platform: Spec((tar(file(platform[6:], b"x")),), platform=platform) for platform in platforms}
    script = "buildah manifest create localhost/list:1 >&2\n"
    for platform, spec in specs.items():
        name = f"localhost/for-{platform[6:]}:1"
        layout(tmp_path / platform[6:], spec)
        script += f'skopeo copy -q "oci:{tmp_path}/{platform[6:]}:latest" "containers-storage:${{SPEC}}{name}" >&2\n'
        script += f"buildah manifest add localhost/list:1 containers-storage:{name} >&2\n"
    engine.run(script, tools=("buildah", "skopeo"))
    for platform in platforms:
        found = image(engine.reference("list:1"), platform)
        assert str(found.config.platform) == platform
        assert found.config_digest == image(engine.reference(f"for-{platform[6:]}:1")).config_digest
        assert str(found.digest) == record(engine, f"localhost/for-{platform[6:]}:1")["digest"]
    with pytest.raises(BuilderError, match="no image for linux/riscv64; available"):
        image(engine.reference("list:1"), "linux/riscv64")


@pytest.mark.heavy
def test_an_image_whose_base_is_in_an_additional_store(engine: Engine, tmp_path: Path) -> None:
    upper = Engine(tmp_path / "upper")
    script = """
        c=$(buildah from --pull-never localhost/app:1); echo top >top; buildah add -q "$c" top / >&2
        buildah commit -q "$c" localhost/upper:1 >&2
        skopeo copy -q "containers-storage:[overlay@$ROOT+$RUNROOT:$1]localhost/upper:1" "oci:$HOME/copy:1"
    """.replace("$1", f"overlay.skip_mount_home=true,overlay.imagestore={engine.root}")
    upper.run(script, additional=engine.root, tools=("buildah", "skopeo"))
    assert len(json.loads((upper.root / "overlay-layers/layers.json").read_text())) < 3

    conf = tmp_path / "storage.conf"
    conf.write_text(
        f'[storage]\ngraphroot = "{upper.root}"\n[storage.options]\nadditionalimagestores = ["{engine.root}"]\n'
    )
    by_option = f"containers-storage:[overlay@{upper.root}:overlay.imagestore={engine.root}]upper:1"
    expected = [layer.diff_id for layer in image(copied(upper)).layers]
    assert [layer.diff_id for layer in image(by_option).layers] == expected
    disks = [tmp_path / "stored.erofs", tmp_path / "copied.erofs"]
    done = run("build", "containers-storage:upper:1", "-o", disks[0], CONTAINERS_STORAGE_CONF=str(conf))
    assert done.returncode == 0, done.stderr
    build(copied(upper), disks[1])
    assert digest(disks[0]) == digest(disks[1])
    # The base alone, too, and under the names that it has there.
    done = run("inspect", "--json", "containers-storage:app:1", CONTAINERS_STORAGE_CONF=str(conf))
    assert done.returncode == 0, done.stderr


def test_without_its_tar_split_a_layer_gives_the_same_files(engine: Engine, tmp_path: Path) -> None:
    copy = store_copy(engine, tmp_path)
    for path in (copy / "overlay-layers").glob("*.tar-split.gz"):
        path.unlink()
    done = run("build", f"containers-storage:[{copy}]app:1", "-o", tmp_path / "walked.ext4")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("so its diff_id could not be verified") == 2
    if os.geteuid() == 0:
        # An ordinary user's own files are not root's, as seen from outside of the namespace.
        assert digest(tmp_path / "walked.ext4") == digest(build(copied(engine), tmp_path / "copied.ext4").output)


@pytest.mark.heavy
def test_a_store_is_read_while_others_change_it(engine: Engine, tmp_path: Path) -> None:
    """Other images come and go: what is read stays whole, and the store is not written to."""
    made = layout(engine.place / "home/other", Spec((tar(file("other", b"x" * 100_000)),)))
    expected = image(copied(engine)).config_digest
    script = f"""
        for i in 1 2 3 4 5 6; do
            skopeo copy -q oci:{engine.place}/home/other:latest "containers-storage:${{SPEC}}localhost/other:$i"
            buildah rmi {made[0].config[7:]} >&2
        done
    """
    writer = threading.Thread(target=engine.run, args=(script,))
    writer.start()
    count = 0
    while writer.is_alive():
        assert image(engine.reference("app:1")).config_digest == expected
        count += 1
    writer.join()
    assert count > 1
    assert build(engine.reference("app:1"), tmp_path / "disk.erofs").image.config_digest == expected


def test_nothing_in_the_store_changes(engine: Engine, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int, int]]:
        paths = [engine.root, *engine.root.rglob("*")]
        return sorted((str(each), s.st_mtime_ns, s.st_ctime_ns, s.st_size) for each in paths for s in [each.lstat()])

    before = state()
    build(engine.reference("app:1"), tmp_path / "disk.erofs")
    assert state() == before


@pytest.mark.root
def test_a_rootless_store_with_files_of_many_users(tmp_path: Path) -> None:
    """As `podman unshare` sees it: the user is root, and the files of others have the owners that the image means."""
    first = 200_000
    enter = enter_namespace(first)
    engine = Engine(tmp_path / "engine", namespace=enter, user=first)
    (tmp_path / "engine/home").mkdir(parents=True)
    for path in (open_to_users(tmp_path), tmp_path / "engine", tmp_path / "engine/home"):
        os.chown(path, first, first)
    script = """
        c=$(buildah from scratch); m=$(buildah mount "$c")
        mkdir "$m/home"; echo mine >"$m/home/secret"; chmod 600 "$m/home/secret"; chown 1000:1001 "$m/home/secret"
        buildah umount "$c" >&2; buildah commit -q "$c" localhost/base:1 >&2
        c=$(buildah from localhost/base:1); m=$(buildah mount "$c")
        rm -r "$m/home"; mkdir "$m/home"; echo new >"$m/home/new"; chown 7:8 "$m/home/new"
        buildah umount "$c" >&2; buildah commit -q "$c" localhost/app:1 >&2
        skopeo copy -q "containers-storage:${SPEC}localhost/app:1" "oci:$HOME/copy:1"
    """
    engine.run(script, tools=("buildah", "skopeo"))
    assert (diff_path(engine.root, layer(engine.root, 0)) / "home/secret").stat().st_uid == first + 1000
    expected = digest(build(copied(engine), tmp_path / "copied.ext4").output)

    def inside(name: str) -> str:
        words = [*enter, *argv("build", engine.reference("app:1"), "-o", engine.place / "home" / name)]
        done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert digest(engine.place / "home" / name) == expected
        return done.stderr

    assert "could not be verified" not in inside("inside.ext4")
    for path in (engine.root / "overlay-layers").glob("*.tar-split.gz"):
        path.unlink()
    # buildah of Debian 13 commits the very tars that unpacked files make: those are verified all the same.
    assert inside("walked.ext4").count("could not be verified") in (0, 2)
