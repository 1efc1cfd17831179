"""Turn a container image into the root disk of a microVM.

from builder import BuildOptions, DiskOptions, build
result = build("oci:layout:latest", "rootfs.ext4", BuildOptions(disk=DiskOptions(free=64 << 20)))
"""

from builder.actions.build import BuildResult, build
from builder.actions.unpack import unpack
from builder.disk.filesystem import DiskOptions
from builder.errors import BuilderError
from builder.options import BuildOptions

__all__ = ["BuildOptions", "BuildResult", "BuilderError", "DiskOptions", "build", "unpack"]
