"""Disks as registries hold them: an artifact, or an image of another kind.

`manifest` writes and reads the disk's manifest, `attached` those of documents about it, and `pack` makes a blob of the
disk. Nothing here speaks to a registry.
"""
