"""Many images: the list, the processes that build them, and the report."""
