"""Paths and methods of the gateway's requests.

Called by `app.py` before anything else is looked at. Raises Refusal for what no gateway can be behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from ..http import Scope
from .limits import Limits
from .problems import Refusal

SOCKETS = ("produce", "consume", "chat")


def raw_segments(scope: Scope) -> list[str]:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").split("/")[1:]


def segments(scope: Scope, limits: Limits) -> list[str]:
    """The path's parts, each decoded for itself: an id may hold an escaped slash."""
    parts = raw_segments(scope)
    if sum(map(len, parts)) + len(scope["query_string"]) > limits.url:
        raise Refusal(414, f"path and query may have at most {limits.url} bytes")
    return [unquote(part) for part in parts]


def is_socket(path: list[str]) -> bool:
    return len(path) == 5 and path[0] == "v1" and path[1] in SOCKETS


def allow(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        allowed = {"allow": ", ".join(methods)}
        raise Refusal(405, f"method {scope['method']} is not supported here", headers=allowed)


def preflight(methods: Sequence[str]) -> dict[str, str]:
    """The answer to a browser that asks whether a page may call."""
    return {
        "access-control-allow-methods": ", ".join(methods),
        "access-control-allow-headers": "*",
        "access-control-max-age": "3600",
    }
