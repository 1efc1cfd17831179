"""What a disk's own databases say of the packages on it: dpkg's, apk's and rpm's, read where they are.

They are the image's words: each has a limit, nothing in them is run, and what cannot be read is refused, not left out.
"""
