"""Refusals and the body that tells them: RFC 7807 problem JSON.

Every part of the gateway raises `Refusal`; `app.py` alone turns it into an HTTP answer or a denied
handshake. A refusal never holds what a client sent as credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from ...errors import TidemillError

CONTENT_TYPE = "application/problem+json"


class Refusal(TidemillError):
    """A request that is not served: the HTTP status, the reason, and headers for the answer."""

    def __init__(self, code: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.code, self.headers = code, dict(headers or {})
        super().__init__(detail)


def explicit(code: int, text: str) -> Refusal:
    """A refusal whose detail repeats the status, as LangStream's explicit answers do."""
    name = HTTPStatus(code).phrase.upper().replace(" ", "_").replace("-", "_")
    return Refusal(code, f'{code} {name} "{text}"')


def problem(code: int, detail: str, instance: str) -> bytes:
    """The body of a refusal."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": HTTPStatus(code).phrase,
            "status": code,
            "detail": detail,
            "instance": instance,
        }
    )
