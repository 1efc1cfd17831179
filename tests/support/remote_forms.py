"""The image of the contract tests in every form that needs a registry."""

from __future__ import annotations

from collections.abc import Callable

from support.forms import IMAGE, layout_of_both
from support.registry import Registry


def _docker(server: Registry) -> str:
    server.push_layout("contract", layout_of_both(), "1")
    return f"docker://{server.host}/contract:1"


def _docker_digest(server: Registry) -> str:
    return f"docker://{server.host}/contract@{server.push_layout('contract', layout_of_both(), '1')}"


def _docker_index(server: Registry) -> str:
    server.push("contract", IMAGE, tag="index", nested=True)
    return f"docker://{server.host}/contract:index"


IN_REGISTRIES: dict[str, Callable[[Registry], str]] = {
    "docker": _docker,
    "docker by digest": _docker_digest,
    "docker, an index": _docker_index,
}
