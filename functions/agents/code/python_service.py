"""`python-service`: a class of the application that runs on its own, such as a web server.

Its `main` has a thread to itself. The unit ends when `main` does: with the error when it raises or
calls the function that it may take as its argument.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ...api import Context, Declaration, Example
from ._loading import UserCodeError
from ._threads import CodeThread
from ._user_code import PythonConfig, UserAgent


class PythonService(UserAgent):
    needs = "main"

    def __init__(self, config: PythonConfig, context: Context) -> None:
        super().__init__(config, context)
        self._main = CodeThread(f"{context.agent}-main")

    async def run(self) -> None:
        """Until the user's `main` ends. Raises UserCodeError."""
        loop = asyncio.get_running_loop()
        crashed: asyncio.Future[BaseException] = loop.create_future()

        def crash(error: Any = None, *_: Any) -> None:
            loop.call_soon_threadsafe(_report, crashed, error)

        main = asyncio.ensure_future(self._call(self._user.main, crash, thread=self._main))
        try:
            await asyncio.wait([main, crashed], return_when=asyncio.FIRST_COMPLETED)
            if crashed.done():
                raise UserCodeError(crashed.result(), self._code)
            await main
        finally:
            main.cancel()
            self._main.stop()


def _report(crashed: asyncio.Future[BaseException], error: Any) -> None:
    if not crashed.done():
        crashed.set_result(error if isinstance(error, BaseException) else RuntimeError(str(error)))


AGENT = Declaration(
    type="python-service",
    kind="service",
    summary="Runs a Python class of the application that serves on its own, without topics.",
    config=PythonConfig,
    handler=PythonService,
    example=Example(configuration={"className": "example.Server"}, results=[]),
    composable=False,
)
