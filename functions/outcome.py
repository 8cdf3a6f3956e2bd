"""How one attempt to process a record ends.

Made by the host, carried over HTTP or the worker's socket, acted on by `triggers/delivery.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..brokers.protocol import StateWrite
from ..errors import RecordError
from ..record import Event


class Done(NamedTuple):
    """The record is processed; these events and this state belong to its acknowledgement."""

    outputs: Sequence[tuple[str, Event]] = ()
    state: Sequence[StateWrite] = ()


class Failed(NamedTuple):
    """The attempt failed. `permanent`: another one cannot help. `causes`: (class, message), root last."""

    message: str
    error_class: str = "Error"
    kind: str = "INTERNAL_ERROR"
    permanent: bool = False
    causes: Sequence[tuple[str, str]] = ()


class Busy(NamedTuple):
    """Not attempted, because an older attempt of the key still runs or there is no room."""

    retry_after: float = 0.05


Result: TypeAlias = Done | Failed | Busy

_MAX_MESSAGE = 4096


def failure(error: BaseException) -> Failed:
    """The outcome of an exception that left the chain."""
    causes: list[tuple[str, str]] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 8:
        causes.append((type(cause).__name__, _short(cause)))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, RecordError):
        return Failed(_short(error), type(error).__name__, error.kind, error.permanent, causes)
    return Failed(_short(error), type(error).__name__, causes=causes)


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:_MAX_MESSAGE]
