"""Faults, one by one, and what must hold whatever happens; `ci/faults` is the command."""
