"""Whether this process is ours: it ends with its work, and nobody misses what it gives up for ever; and if it has."""

_owned = False
_confined = False


def own_process() -> None:
    """Say that it is. For the command, and for a process that builds one image."""
    global _owned
    _owned = True


def is_owned() -> bool:
    """Tell whether it is; one that only calls us is not."""
    return _owned


def note_confined() -> None:
    """Say that it has given up what it does not need."""
    global _confined
    _confined = True


def is_confined() -> bool:
    """Tell whether it has."""
    return _confined
