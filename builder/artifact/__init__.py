"""Disks as registries hold them: an artifact, or an image of another kind.

`form` writes and reads manifests, `pack` makes a blob of a disk. Nothing here speaks to a registry.
"""
