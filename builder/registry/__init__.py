"""Registries: the pull side of the OCI distribution-spec over HTTP, and what surrounds it on users' machines.

The client stands on urllib3 alone. oras-py keeps its own credential store, has no ranges and does not hash what it
streams; httpx is not at 1.0 and has no retries; requests is urllib3 with cookies, .netrc, redirects and its own list of
authorities added, each of which would have to be switched off again so that no secret goes where it must not.
"""
