"""`flare-controller`: sends an answer back for more documents while the model was unsure of it.

Where tokens with a letter or digit have a low probability, the text around them becomes a query; the
record with those queries goes to the loop's topic. A sure answer, or one that has been round too
often, passes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ....errors import RecordError
from ....record import Record
from ...api import Context, Declaration, Example, Results, Routed
from ...config import AgentConfig, ExpressionText
from ...context import TransformContext, open_record, write_field
from ...expressions import UnresolvedProperty, compile_expression

_WORD = re.compile(r"\w")


class FlareConfig(AgentConfig):
    """The last five tune the search; LangStream knows them, but lets nobody set them."""

    tokens_field: ExpressionText
    logprobs_field: ExpressionText
    loop_topic: str
    retrieve_documents_field: str
    min_prob: float = 0.2
    min_token_gap: int = 5
    num_pad_tokens: int = 2
    max_iterations: int = 10
    num_iterations_field: str = "value.flare_iterations"


class FlareController:
    def __init__(self, config: FlareConfig, context: Context) -> None:
        self._config = config
        self._tokens = compile_expression(config.tokens_field)
        self._logprobs = compile_expression(config.logprobs_field)
        self._rounds = compile_expression(config.num_iterations_field)

    def process(self, record: Record) -> Results:
        context = open_record(record)
        rounds = self._count(context)
        if rounds > self._config.max_iterations:
            return (record,)
        tokens, logprobs = (
            _listed(one.text, one.evaluate_as(context.scope(), "list"))
            for one in (self._tokens, self._logprobs)
        )
        queries = unsure(tokens, logprobs, self._config)
        if not queries:
            return (record,)
        write_field(context, self._config.retrieve_documents_field, queries)
        write_field(context, self._config.num_iterations_field, rounds + 1)
        return (Routed(self._config.loop_topic, context.closed(as_maps=True)),)

    def _count(self, context: TransformContext) -> int:
        try:
            return int(self._rounds.evaluate_as(context.scope(), "INT32") or 0)
        except UnresolvedProperty:
            return 0


def _listed(name: str, values: Any) -> Sequence[Any]:
    if values is None:
        raise RecordError(f"flare-controller: the list '{name}' is null")
    return list(values)


def unsure(tokens: Sequence[Any], logprobs: Sequence[Any], config: FlareConfig) -> list[str]:
    """The passages around tokens of low probability; close ones are joined."""
    spans: list[tuple[int, int]] = []
    last = 0
    for index, (token, logprob) in enumerate(zip(tokens, logprobs, strict=False)):
        if logprob is None or not _WORD.search(str(token)) or _probability(logprob) >= config.min_prob:
            continue
        end = index + config.num_pad_tokens + 1
        if spans and index - last < config.min_token_gap:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((index, end))
        last = index
    return ["".join(map(str, tokens[start:end])) for start, end in spans]


def _probability(logprob: Any) -> float:
    try:
        return math.exp(float(logprob))
    except (TypeError, ValueError, OverflowError):
        raise RecordError("flare-controller: a log-probability is a number") from None


AGENT = Declaration(
    type="flare-controller",
    kind="processor",
    summary="Sends an answer round again, with queries for the passages of which the model was unsure.",
    config=FlareConfig,
    handler=FlareController,
    topic_fields=("loop-topic",),
    example=Example(
        configuration={
            "tokens-field": "value.tokens",
            "logprobs-field": "value.logprobs",
            "loop-topic": "flare-loop",
            "retrieve-documents-field": "value.queries",
        },
        record=Record('{"tokens":["Paris"," it"," is"],"logprobs":[-0.1,-0.2,-0.1]}', "k"),
        results=[Record('{"tokens":["Paris"," it"," is"],"logprobs":[-0.1,-0.2,-0.1]}', "k")],
    ),
)
