"""Whether this process is ours, and has given up rights: it ends with its work, so that nobody misses them."""

_owned = False
_confined = False


def own_process() -> None:
    """Declare this process ours: for the command, and for a process that builds one image."""
    global _owned
    _owned = True


def is_owned() -> bool:
    """Tell whether this process is ours; a program that calls us from Python is not."""
    return _owned


def note_confined() -> None:
    """Note that this process has given up what it does not need."""
    global _confined
    _confined = True


def is_confined() -> bool:
    """Tell whether this process has given up what it does not need."""
    return _confined
