"""`python-sink`: a class of the application writes records to the outside."""

from __future__ import annotations

from ....record import Record
from ...api import Declaration, Example
from ._records import to_user
from ._user_code import PythonConfig, UserAgent


class PythonSink(UserAgent):
    needs = "write"

    async def write(self, record: Record) -> None:
        async with self._one_at_a_time:
            await self._call(self._user.write, to_user(record), hold=True)
            await self._producer.settle()


AGENT = Declaration(
    type="python-sink",
    kind="sink",
    summary="Hands every record to a Python class of the application, one at a time.",
    config=PythonConfig,
    handler=PythonSink,
    example=Example(
        configuration={"className": "example.Collector"}, record=Record("hello", "k"), results=[]
    ),
    concurrency=1,
)
