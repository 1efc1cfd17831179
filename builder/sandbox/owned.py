"""Whether this process is ours: it ends with its work, and nobody misses what it gives up for ever."""

_owned = False


def own_process() -> None:
    """Say that it is. For the command, and for a process that builds one image."""
    global _owned
    _owned = True


def is_owned() -> bool:
    """Tell whether it is; one that only calls us is not."""
    return _owned
