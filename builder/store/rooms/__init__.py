"""Where a store can live: a directory of this machine, or a PyFilesystem."""
