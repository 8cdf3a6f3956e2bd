"""Collects the faults of an application, so that all of them are reported together.

Passed through loader and planner. A problem stops the plan at the end; a note does not (the CLI
prints it). Neither ever holds a resolved value, only names and positions.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ApplicationError, Position, Problem, nearest


class Problems:
    """Faults found so far, without repetitions and in the order of finding."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._notes: dict[Problem, None] = {}

    def add(
        self, message: str, at: Position | None = None, *, why: str | None = None, hint: str | None = None
    ) -> None:
        self._found[Problem(message, at, why, hint)] = None

    def note(self, message: str, at: Position | None = None, *, hint: str | None = None) -> None:
        self._notes[Problem(message, at, None, hint)] = None

    @property
    def found(self) -> tuple[Problem, ...]:
        return tuple(self._found)

    @property
    def notes(self) -> tuple[Problem, ...]:
        return tuple(self._notes)

    def raise_if_any(self) -> None:
        if self._found:
            raise ApplicationError(self.found)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest right name, or None."""
    guess = nearest(name, known)
    return f"did you mean '{guess}'?" if guess else None


def listed(names: Iterable[str]) -> str:
    """Names for a sentence."""
    return ", ".join(names) or "none"
