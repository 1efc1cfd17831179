"""The store of podman, buildah and CRI-O (containers/storage, overlay driver), read without running any of them.

ROOT/overlay-images/images.json            which images there are, and their names
ROOT/overlay-images/<id>/<key>             manifests and configs, byte for byte
ROOT/overlay-layers/layers.json            which layers there are, each with its parent
ROOT/overlay-layers/<id>.tar-split.gz      all of a layer's tar but the content of its files
ROOT/overlay/<id>/diff                     the layer, unpacked
"""
