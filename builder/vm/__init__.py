"""Machines: from a disk's facts to a kernel command line, a configuration, and a running guest."""
