"""What tar and its compressions are: byte streams in, entries out, and no knowledge of images.

libarchive is the parser (tar.py). A guard in front of it (guard.py) passes what all readers read alike: the rest is
refused, as is a stream that ends in a header or in content. Names are the archive's bytes.
"""
