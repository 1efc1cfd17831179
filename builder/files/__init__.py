"""The host's files and what PyFilesystem opens, one way: below a handle, never through a symlink."""
