"""`python-source`: a class of the application brings records in.

`commit` and `permanent_failure` get the very object that `read` returned. They run in a thread of
their own, since `read` may be waiting meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....record import Record
from ...api import Context, Declaration, Example
from ._records import as_list, as_object, from_user, to_user
from ._user_code import PythonConfig, UserAgent


class PythonSource(UserAgent):
    needs = "read"

    def __init__(self, config: PythonConfig, context: Context) -> None:
        super().__init__(config, context)
        # id of the record that the host holds -> that record (so that the id stays taken), theirs
        self._open: dict[int, tuple[Record, Any]] = {}

    async def read(self) -> Sequence[Record]:
        """What the user's `read` returns. Raises what it raises: a source has no policy for that."""
        pairs: list[tuple[Record, Any]] = await self._call(self._user.read, finish=_convert)
        self._open.update((id(record), (record, theirs)) for record, theirs in pairs)
        return [record for record, _ in pairs]

    async def commit(self, record: Record) -> None:
        theirs = self._theirs(record)
        self._open.pop(id(record), None)
        await self._optional("commit", theirs, thread=self._aside)

    async def failed(self, record: Record, error: Exception) -> None:
        """A record failed for good. Raises unless the user's class handles that."""
        if not hasattr(self._user, "permanent_failure"):
            raise error
        failure = RuntimeError(str(error))
        await self._optional("permanent_failure", self._theirs(record), failure, thread=self._aside)

    def _theirs(self, record: Record) -> Any:
        known = self._open.get(id(record))
        return known[1] if known else to_user(record)


def _convert(results: Any) -> list[tuple[Record, Any]]:
    objects = [as_object(item) for item in as_list(results, "read")]
    return [(from_user(item), item) for item in objects]


AGENT = Declaration(
    type="python-source",
    kind="source",
    summary="Reads records with a Python class of the application.",
    config=PythonConfig,
    handler=PythonSource,
    example=Example(configuration={"className": "example.Counter"}, results=[Record(1, "k"), Record(2, "k")]),
    concurrency=1,
)
