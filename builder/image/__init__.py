"""What the OCI image specification and Docker's schema 2 say: bytes in, frozen values out, no I/O.

Strict where a mistake could pass for another image (types, digests, ambiguous documents), and as lenient as
Go's decoder where real tools count on it (`null` in place of an empty optional field).
"""
