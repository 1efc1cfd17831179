"""From a blob to a verified stream of entries."""
