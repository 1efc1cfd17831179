"""Entries become one merged root file system in memory, and their content one spool on disk.

No symlink of the host is followed, nothing of the host is deleted. A whiteout hides what lower layers left, wherever
in its layer it stands. What Linux cannot hold is refused; xattrs that mean nothing in a guest are dropped, and said.
"""
