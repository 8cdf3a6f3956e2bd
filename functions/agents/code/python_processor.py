"""`python-processor` (`python-function`): a class of the application turns records into records."""

from __future__ import annotations

from typing import Any

from ....record import Record
from ...api import Declaration, Example, Results
from ._records import as_list, from_user, to_user
from ._user_code import PythonConfig, UserAgent


class PythonProcessor(UserAgent):
    needs = "process"

    async def process(self, record: Record) -> Results:
        def convert(results: Any) -> Results:
            return [from_user(item, record.incoming) for item in as_list(results, "process")]

        async with self._one_at_a_time:
            theirs = to_user(record)
            results: Results = await self._call(self._user.process, theirs, finish=convert, hold=True)
            await self._producer.settle()
            return results


AGENT = Declaration(
    type="python-processor",
    aliases=("python-function",),
    kind="processor",
    summary="Runs a Python class of the application on every record, one at a time.",
    config=PythonConfig,
    handler=PythonProcessor,
    example=Example(
        configuration={"className": "example.Exclamation"},
        record=Record("hello", "k"),
        results=[Record("hello!", "k")],
    ),
    concurrency=1,
)
