"""Secrets by reference: which ones a configuration names, and the Secret objects that hold them.

Called by `render.py` (references only: no value can reach a ConfigMap, a name or a diff) and by
whoever holds the values (`render_secrets`). The form of the data is the one that
`functions/environment.py` reads from the mounted folder: `<key>` is text, `<key>.json` is JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..functions.environment import secret_file
from . import names, objects

# The dollar form, and LangStream's older one in braces.
_REFERENCE = re.compile(r"(?:\$\{\s*|\{\{\{?\s*)secrets\.([^.}\s]+)")


def referenced(*values: Any) -> tuple[str, ...]:
    """The ids of the secrets that the texts inside plain values name, sorted."""
    return tuple(sorted({name for value in values for name in _references(value)}))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def render_secrets(
    application: str, secrets: Mapping[str, Mapping[str, Any]], namespace: str
) -> list[dict[str, Any]]:
    """One Secret for each entry of secrets.yaml. Raises ConfigurationError for keys that no file can have."""
    return [
        {
            **objects.kind("v1", "Secret"),
            "metadata": objects.metadata(names.of_secret(application, identity), application, namespace),
            "type": "Opaque",
            "data": {
                name: base64.b64encode(text.encode()).decode()
                for name, text in (secret_file(identity, *item) for item in sorted(secrets[identity].items()))
            },
        }
        for identity in sorted(secrets)
    ]
