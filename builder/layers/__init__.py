"""A blob becomes a stream of entries, verified by its end: digest, size, diff_id and the limits of the image.

Every byte passes once, through threads side by side. What is not what its digest says is called that, never by the
parse error that it causes.
"""
