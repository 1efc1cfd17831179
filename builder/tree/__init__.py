"""Entries become one merged root file system: whiteouts, hardlinks, path safety, and the content spool."""
