"""From a finished draft to published files: whole, synced and under their names, or not at all."""
