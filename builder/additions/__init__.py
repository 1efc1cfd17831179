"""What a user adds to an image or takes away from it, each as one more layer on top, merged by the same rules.

Of the host only names, content, symlinks and whether a file may be executed are taken: no owner, no umask, no clock, no
extended attribute, no order of a directory. What is read twice is the same both times, or the build ends.
"""
