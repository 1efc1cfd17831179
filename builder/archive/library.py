"""libarchive, found and loaded, or missed in plain words.

Its binding would ask `ldconfig -p` at every start where it is; that takes longer than reading a small image.
"""

from __future__ import annotations

import ctypes
import os

from builder.errors import MissingRequirement
from builder.shortage import shortage

# Of every release since 2011; the binding's own variable names another one.
_VARIABLE, _LIBRARY = "LIBARCHIVE", "libarchive.so.13"
_PACKAGES = "libarchive13 (Debian), libarchive (Fedora), libarchive (Alpine)"

_stated = os.environ.get(_VARIABLE)
try:
    ctypes.CDLL(_stated or _LIBRARY)
except OSError as error:
    if (short := shortage(error)) is not None:
        raise short from error
    raise MissingRequirement(f"libarchive cannot be loaded: {error}; install {_PACKAGES}") from error

os.environ[_VARIABLE] = _stated or _LIBRARY
try:
    from libarchive import ffi
finally:
    if _stated is None:
        del os.environ[_VARIABLE]

__all__ = ["ffi"]
