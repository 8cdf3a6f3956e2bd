"""What registries answer, read: challenges, tokens, errors.

Used by `transport.py` and `registry.py`. A refusal becomes an error with what to try; no token and no
password gets into one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ...errors import NotFound
from .faults import ImageError, RegistryDenied, RegistryError
from .references import Reference

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Doing = Literal["read", "write"]
_LONGEST_WAIT = 60.0
_WORD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """`WWW-Authenticate` as the scheme in lower case and its words."""
    scheme, _, rest = header.strip().partition(" ")
    return scheme.lower(), {name.lower(): quoted or plain for name, quoted, plain in _WORD.findall(rest)}


def token(answer: BaseHTTPResponse, reference: Reference) -> str | None:
    """The header of a token server's answer, or None where it does not know the caller."""
    if answer.status in (401, 403):
        return None
    try:
        found = json.loads(answer.data) if answer.status == 200 else {}
        return f"Bearer {found.get('token') or found['access_token']}"
    except (ValueError, KeyError, AttributeError, TypeError):
        what = f"the token server of {reference.registry} answered {answer.status} without a token"
        raise ImageError(what) from None


def retry_after(answer: BaseHTTPResponse) -> float | None:
    """Seconds, where the registry named some."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT) if text.isdigit() else None


def check(answer: BaseHTTPResponse, reference: Reference, doing: Doing) -> None:
    """Raises what a status of 400 or more means."""
    if answer.status < 400:
        return
    code, said = _said(answer.data)
    if answer.status in (401, 403):
        raise _denied(answer.status, code, reference, doing)
    if answer.status == 404 and doing == "read":
        raise NotFound("image", str(reference))
    hint = _HINTS.get(code)
    what = f"{reference.registry} refuses {reference.repository} with {answer.status}"
    raise RegistryError(
        f"{what}: {said or code or 'it gave no reason'}", reference.registry, answer.status, code, hint=hint
    )


def _denied(status: int, code: str, reference: Reference, doing: Doing) -> RegistryDenied:
    what = "write to" if doing == "write" else "read"
    hint = f"docker login {reference.registry}"
    if status == 401:
        message = f"{reference.registry} does not know who you are, or not as one who may {what} "
        message += reference.repository
        hint += "" if doing == "write" else "; or the image does not exist"
    else:
        message = f"{reference.registry} does not let you {what} {reference.repository}"
        hint = f"ask for the right to it, choose another repository, or {hint} as somebody else"
    return RegistryDenied(message, reference.registry, status, code, hint=hint)


def _said(content: bytes) -> tuple[str, str]:
    """Code and message of the first error."""
    try:
        first: Mapping[str, object] = json.loads(content)["errors"][0]
        return str(first.get("code", "")), str(first.get("message", ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "", ""


_HINTS = {
    "NAME_INVALID": "registries differ in what a name may be: try a shorter one with lower case letters",
    "NAME_UNKNOWN": "make the repository at the registry first, then push again",
    "TAG_INVALID": "choose another tag, or remove the registry's rule that keeps tags as they are",
    "TOOMANYREQUESTS": "wait, or docker login: registries allow more to those whom they know",
    "MANIFEST_BLOB_UNKNOWN": "push again: the registry has removed a layer in between",
    "SIZE_INVALID": "push again; a proxy before the registry may have cut the upload short",
}
