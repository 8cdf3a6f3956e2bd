"""What all transform agents share: the condition `when`, and the way from record to record.

An agent of this kind is a step, a function that changes a TransformContext; its module holds the
configuration and the step, which may be a coroutine. Whether or not the condition holds, the record
is opened and closed, so a JSON text leaves in compact form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import TypeAlias

from ..record import Record
from .api import Results
from .config import AgentConfig, ExpressionText
from .context import TransformContext, open_record
from .expressions import Expression, compile_expression

Step: TypeAlias = Callable[[TransformContext], None]
AsyncStep: TypeAlias = Callable[[TransformContext], Awaitable[None]]


class TransformConfig(AgentConfig):
    """`when`: the step runs on a record only if this expression is true."""

    when: ExpressionText | None = None

    def condition(self) -> Expression | None:
        """The compiled `when`. Raises ExpressionError if it is no expression."""
        return None if self.when is None else compile_expression(self.when, condition=True)


class Transform:
    """Runs a step on each record for which the condition holds."""

    def __init__(self, config: TransformConfig, step: Step | AsyncStep) -> None:
        self._condition = config.condition()
        self._step = step
        self._waits = iscoroutinefunction(step)

    def process(self, record: Record) -> Results | Awaitable[Results]:
        context = open_record(record)
        if self._condition is None or self._condition.test(context.scope()):
            if self._waits:
                return self._process(context)
            self._step(context)
        return _closed(context)

    async def _process(self, context: TransformContext) -> Results:
        pending = self._step(context)
        if pending is not None:
            await pending
        return _closed(context)


def _closed(context: TransformContext) -> Results:
    return () if context.dropped else (context.closed(),)
