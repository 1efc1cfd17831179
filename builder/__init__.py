"""Turn a container image into the root disk of a microVM."""
