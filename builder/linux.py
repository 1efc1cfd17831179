"""What Linux can hold of a file: limits, extended attributes, access control lists, the marks of whiteouts."""

from __future__ import annotations

# Bytes, without the NUL that ends them in the kernel (NAME_MAX, PATH_MAX - 1).
MAX_NAME = 255
MAX_PATH = 4095

MODE_BITS = 0o7777
# Linux shows these permissions for every symlink and lets nobody change them.
SYMLINK_MODE = 0o777

# (uid_t) -1 means "leave it" to chown(2), so no file has it.
NO_ID = 2**32 - 1
MAX_ID = NO_ID - 1

# dev_t inside the kernel: 12 bits of major, 20 of minor (include/linux/kdev_t.h).
MAX_MAJOR = 2**12 - 1
MAX_MINOR = 2**20 - 1

# Bytes (include/uapi/linux/limits.h): a name, a value, and all names of an inode with the NUL behind each.
MAX_XATTR_NAME = 255
MAX_XATTR_VALUE = 65536
MAX_XATTR_NAMES = 65536

# POSIX ACLs (include/uapi/linux/posix_acl.h): their xattrs, and what an entry of one is for.
ACL_ACCESS = b"system.posix_acl_access"
ACL_DEFAULT = b"system.posix_acl_default"
ACLS = frozenset((ACL_ACCESS, ACL_DEFAULT))
ACL_OWNER, ACL_USER, ACL_OWNING_GROUP, ACL_GROUP, ACL_MASK, ACL_OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
# Only these carry an id.
ACL_NAMED = frozenset((ACL_USER, ACL_GROUP))

# The namespaces of xattr(7) that disk file systems keep; of `system.` they keep the ACLs.
USER, TRUSTED, SECURITY = b"user.", b"trusted.", b"security."
NAMESPACES = (USER, TRUSTED, SECURITY)
# The numbers that ext4 and erofs write in the place of these beginnings of a name. An ACL's is all of its name.
XATTR_INDEXES = {USER: 1, ACL_ACCESS: 2, ACL_DEFAULT: 3, TRUSTED: 4, SECURITY: 6}

# File capabilities (include/uapi/linux/capability.h): how many bytes a value of each revision takes.
CAPABILITY = b"security.capability"
CAPABILITY_SIZES = {0x02000000: 20, 0x03000000: 24}
CAPABILITY_EFFECTIVE = 1

# What overlayfs notes for itself, in one namespace or, mounted without privileges, in the other.
OVERLAY_PREFIXES = (b"trusted.overlay.", b"user.overlay.")

# OCI image-spec, layer.md, "Whiteouts".
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
