"""Every error that a user can meet, as data.

Raised by all rooms; turned into words, a hint and an exit status by `cli/`.
An error never holds a secret: fields carry names and positions, not resolved values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    options = list(known)
    folded = {option.lower(): option for option in reversed(options)}
    if name.lower() in folded:
        return folded[name.lower()]
    found = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return found[0] if found else None


class TidemillError(Exception):
    """Base of every error with a message for the user.

    `hint` is one thing to try; `status` the exit status of a command that ends with it
    (0 ok, 1 failure, 2 usage, 3 not found, 4 authentication, 5 conflict, 6 time-out).
    """

    status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TidemillError):
    """The command was called in a way that cannot work."""

    status = 2


class NotFound(TidemillError):
    """A named thing does not exist; `known` lists what does."""

    status = 3

    def __init__(self, what: str, name: str, known: Iterable[str] = ()) -> None:
        self.what, self.name, self.known = what, name, sorted(known)
        guess = nearest(name, self.known)
        hint = f"did you mean '{guess}'?" if guess else None
        listing = ", ".join(self.known)
        super().__init__(
            f"{what} '{name}' does not exist" + (f"; there are: {listing}" if listing else ""), hint=hint
        )


class MissingExtra(TidemillError):
    """An optional package is not installed; the hint is the exact command that installs it."""

    def __init__(self, package: str, extra: str, needed_by: str) -> None:
        self.package, self.extra, self.needed_by = package, extra, needed_by
        super().__init__(
            f"{needed_by} needs the package '{package}', which is not installed",
            hint=f"pip install 'tidemill[{extra}]'",
        )


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a user's file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1
    text: str = ""  # the whole line, for the caret

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an application: what, where, why, and what to try."""

    message: str
    at: Position | None = None
    why: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.at}: {self.message}" if self.at else self.message


class ApplicationError(TidemillError):
    """An application that cannot be loaded or planned: all its problems together, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_reading_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _reading_order(problem: Problem) -> tuple[str, int, int]:
    return (problem.at.file, problem.at.line, problem.at.column) if problem.at else ("", 0, 0)


class RecordError(TidemillError):
    """One record cannot be processed; the trigger's retry and on-failure policy applies.

    `permanent` tells the dispatcher that another attempt gives the same result (a poison record).
    `kind` is INVALID_RECORD or INTERNAL_ERROR, as the dead-letter headers name it.
    """

    kind = "INVALID_RECORD"
    permanent = False


class ExpressionError(RecordError):
    """An expression cannot be parsed (`stage` compile) or evaluated (`stage` evaluate)."""

    def __init__(
        self, message: str, *, expression: str = "", stage: str = "evaluate", column: int | None = None
    ) -> None:
        self.expression, self.stage, self.column = expression, stage, column
        super().__init__(message)


class TemplateError(RecordError):
    """A template cannot be compiled or rendered."""

    def __init__(self, message: str, *, stage: str = "render", line: int | None = None) -> None:
        self.stage, self.line = stage, line
        super().__init__(message)


class HeadersTooLarge(RecordError):
    """The headers of a record exceed what an event may carry (32 KiB)."""

    permanent = True

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"the record's headers take {size} bytes; at most {limit} can travel with an event")


class EventError(TidemillError):
    """Bytes from outside are not a CloudEvent that can be accepted (an ingress answers 400)."""


class NewerVersion(TidemillError):
    """Something was written by a newer Tidemill in a form that this one does not know."""

    def __init__(self, what: str, found: object, known: object) -> None:
        self.what, self.found, self.known = what, found, known
        super().__init__(
            f"{what} has version {found}; this Tidemill reads up to version {known}",
            hint="upgrade Tidemill: pip install -U tidemill",
        )


class ConfigurationError(TidemillError):
    """An agent or resource cannot work with its configuration (raised when a unit starts)."""

    def __init__(self, message: str, *, agent: str | None = None, hint: str | None = None) -> None:
        self.agent = agent
        super().__init__(message, hint=hint)


class StateInUse(TidemillError):
    """The state folder belongs to a run that is still alive."""

    status = 5

    def __init__(self, path: str, pid: int | None) -> None:
        self.path, self.pid = path, pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the state folder {path} is in use by {owner}",
            hint="stop that run, or give this one a folder of its own with --state",
        )


class BrokerUnavailable(TidemillError):
    """The broker cannot write or read now; nothing of the refused call is stored."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the broker is not available: {reason}")
