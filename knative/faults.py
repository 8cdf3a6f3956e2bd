"""What is wrong with a manifest, as data.

Raised and collected by `validate.py` and its parts; `cli/` turns it into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import TidemillError


@dataclass(frozen=True, slots=True)
class Fault:
    """`object` is Kind/name; `path` the field, as in spec.template.spec.containers[0].image."""

    object: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.object}: {self.path}: {self.message}"


class InvalidManifests(TidemillError):
    """A cluster would refuse these objects, or lose events with them: all faults together."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, faults)))
