"""Whether KVM runs guests here: found out by running one, since a /dev/kvm alone promises nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from builder.errors import BuilderError
from builder.tool import run_tool
from builder.vm.qemu import Guest, qemu_argv

# In seconds; where it works, it takes a few tenths.
_PATIENCE = 5.0


def kvm_works(guest: Guest) -> bool:
    """Boot the kernel of `guest` with KVM to the first step of init, and say whether it came there.

    Raises OSError where QEMU has no room, or this machine cannot start it now.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    probe = replace(guest, kvm=True, line="panic=-1 rb.probe", disks=(), forwards=(), network=False)
    deadline = time.monotonic() + _PATIENCE

    def look() -> None:
        if time.monotonic() > deadline:
            raise TimeoutError

    try:
        run_tool(qemu_argv(probe, {}), inherited=guest.inherited, watch=look, every=0.1)
    except (BuilderError, TimeoutError):
        return False
    return True
