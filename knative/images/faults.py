"""What can go wrong while an image is made or uploaded, as errors with fields.

Raised by the modules of this room; `cli/` turns them into words. No field holds a password or a token.
"""

from __future__ import annotations

from ...errors import TidemillError


class ImageError(TidemillError):
    """An image cannot be built from what is there."""


class RegistryError(TidemillError):
    """A registry answered with an error; `code` is the one of its JSON, where it gave one."""

    def __init__(self, message: str, registry: str, answer: int, code: str, *, hint: str | None) -> None:
        self.registry, self.answer, self.code = registry, answer, code
        super().__init__(message, hint=hint)


class RegistryDenied(RegistryError):
    """The registry does not know the caller (401) or does not allow what was asked (403)."""

    status = 4


class RegistryUnreachable(TidemillError):
    """No answer: name, network, certificate or a server that stays broken."""

    def __init__(self, registry: str, reason: str, hint: str) -> None:
        self.registry, self.reason = registry, reason
        super().__init__(f"the registry {registry} cannot be reached: {reason}", hint=hint)
