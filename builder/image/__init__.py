"""What the OCI image specification and Docker's schema 2 say: bytes in, frozen values out, no I/O.

Strict about what a disk depends on, and where a mistake could pass for another image (types, digests, ambiguous
documents); tolerant about all else, as Go's decoder is, with a remark about what was left out.
"""
