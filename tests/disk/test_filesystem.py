from __future__ import annotations

from builder.disk.filesystem import derived_uuid


def test_a_derived_uuid_is_of_version_8_and_differs_by_seed_and_purpose() -> None:
    one = derived_uuid(b"seed", "disk")
    assert (one.version, one.variant) == (8, "specified in RFC 4122")
    assert one == derived_uuid(b"seed", "disk")
    assert len({one, derived_uuid(b"seed", "hash"), derived_uuid(b"seee", "disk")}) == 3
