"""Decoded layers, kept once per machine: entries and content by diff_id, so that a base that many images share is
inflated, hashed and parsed once. A cache and nothing else: whatever is wrong with it, a build goes on without.

Nothing is synced. What a crash, a full disk or a bad drive leaves is found by its checks when it is used next.
"""
