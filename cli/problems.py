"""Errors as words: where, the line with a caret, what, why, and what to try.

Used by every command through `main`. Core errors carry data only; nothing here adds a value, so no
secret can come in.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ApplicationError, Position, Problem, TidemillError

_WIDEST = 160


def words(error: TidemillError) -> str:
    """What a person reads on stderr."""
    if isinstance(error, ApplicationError):
        count = len(error.problems)
        total = f"{count} problem{'s' if count > 1 else ''}; nothing was started or changed"
        return "\n\n".join([*map(problem_words, error.problems), total])
    return "\n".join([f"error: {error.message}", *_more(None, error.hint)])


def problem_words(problem: Problem, label: str = "error") -> str:
    """One problem of an application, in up to five lines."""
    where = f"{problem.at}: " if problem.at else ""
    lines = [f"{where}{label}: {problem.message}"]
    if problem.at and problem.at.text.strip():
        lines.extend(_excerpt(problem.at))
    return "\n".join([*lines, *_more(problem.why, problem.hint)])


def _excerpt(at: Position) -> Iterator[str]:
    number = str(at.line)
    text = at.text.expandtabs(1)[:_WIDEST]
    yield f"  {number} | {text}"
    if at.column <= len(text) + 1:
        yield f"  {' ' * len(number)} | {' ' * (at.column - 1)}^"


def _more(why: str | None, hint: str | None) -> Iterator[str]:
    if why:
        yield f"  why: {why}"
    if hint:
        yield f"  try: {hint}"
