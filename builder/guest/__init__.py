"""A tree becomes bootable: init, what it is to run, and the few files and mount points that a machine needs.

What runs is decided here, at build time, from the image's config, its /etc/passwd and /etc/group and what the user
says. `init/` is the program that does it (C, compiled when the package is built); it parses next to nothing.
What is added is one more layer on top of the image's, merged by the same rules.
"""
