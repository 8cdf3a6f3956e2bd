"""`re-rank`: sorts a list of found documents by how well they fit a query, and by how little they repeat.

MMR (maximal marginal relevance): a document is worth its BM25 score against the query, less its mean
likeness (cosine) to those that are chosen already. The items themselves are not changed.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import Counter
from collections.abc import Awaitable, Sequence
from operator import mul
from typing import Any, Literal

from msgspec import Struct
from pydantic import Field, model_validator

from ....errors import RecordError
from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig, ExpressionText
from ...context import TransformContext, open_record, write_field
from ...expressions import Expression, compile_expression, empty_scope
from ...expressions.values import Value

_QUICK = 200_000  # products of vector elements that are computed without a thread
_PARTS = ("query-text", "text-field", "embeddings-field")


class ReRankConfig(AgentConfig):
    """The accessors `text-field` and `embeddings-field` see an item as `record`."""

    field: ExpressionText
    output_field: str
    algorithm: Literal["none", "MMR"] = "none"
    query_text: ExpressionText | None = None
    query_embeddings: ExpressionText | None = None
    text_field: ExpressionText | None = None
    embeddings_field: ExpressionText | None = None
    max: int = 100
    lambda_: float = Field(0.5, alias="lambda")
    k1: float = 1.5
    b: float = 0.75

    @model_validator(mode="after")
    def _has_what_it_compares(self) -> ReRankConfig:
        missing = [name for name in _PARTS if not getattr(self, name.replace("-", "_"))]
        if self.algorithm == "MMR" and missing:
            raise ValueError(f"the algorithm MMR needs {', '.join(missing)}")
        return self


class Document(Struct, frozen=True):
    """What is compared of an item."""

    words: Counter[str]
    length: int
    vector: array[float]
    norm: float


class ReRank:
    def __init__(self, config: ReRankConfig, context: Context) -> None:
        self._config = config
        self._list = compile_expression(config.field)
        self._query = compile_expression(config.query_text or "''")
        self._text = compile_expression(config.text_field or "record")
        self._vector = compile_expression(config.embeddings_field or "record")

    def process(self, record: Record) -> Results | Awaitable[Results]:
        context = open_record(record)
        items = self._list.evaluate_as(context.scope(), "list")
        if items is None:
            raise RecordError(f"re-rank: the list '{self._config.field}' is null")
        query = str(self._query.evaluate_as(context.scope(), "STRING") or "").split()
        if self._config.algorithm == "none" or not query:
            return self._closed(context, list(items))
        documents = [self._document(number, item) for number, item in enumerate(items)]
        if len(items) * min(len(items), self._config.max) * _longest(documents) <= _QUICK:
            return self._closed(context, self._best(items, documents, query))
        return self._aside(context, items, documents, query)

    async def _aside(
        self, context: TransformContext, items: Value, documents: list[Document], query: list[str]
    ) -> Results:
        return self._closed(context, await asyncio.to_thread(self._best, items, documents, query))

    def _closed(self, context: TransformContext, items: list[Value]) -> Results:
        write_field(context, self._config.output_field, items)
        return (context.closed(),)

    def _best(self, items: Value, documents: list[Document], query: list[str]) -> list[Value]:
        return [items[number] for number in ranked(documents, query, self._config)]

    def _document(self, number: int, item: Value) -> Document:
        scope = {**empty_scope(), "record": item}
        text, numbers = self._text.evaluate_as(scope, "STRING"), self._vector.evaluate_as(scope, "list")
        if text is None or numbers is None:
            lacking = self._config.text_field if text is None else self._config.embeddings_field
            raise RecordError(f"re-rank: item {number} of '{self._config.field}' has no {lacking}")
        words = str(text).split()
        vector = _vector(numbers, self._vector)
        return Document(Counter(words), len(words), vector, math.sqrt(sum(map(mul, vector, vector))))


def _vector(numbers: Sequence[Any], expression: Expression) -> array[float]:
    try:
        return array("f", map(float, numbers))
    except (TypeError, ValueError, OverflowError):
        raise expression.failed("an embedding is a list of numbers") from None


def _longest(documents: Sequence[Document]) -> int:
    return max((len(document.vector) for document in documents), default=0)


def ranked(documents: Sequence[Document], query: Sequence[str], config: ReRankConfig) -> list[int]:
    """Numbers of the chosen documents, the best first."""
    remaining, chosen = list(range(len(documents))), list[int]()
    likeness = [0.0] * len(documents)  # the sum over those that are chosen
    while remaining and len(chosen) < config.max:
        fits = relevance([documents[number] for number in remaining], query, config)
        worth = [
            config.lambda_ * fit - (1 - config.lambda_) * likeness[number] / max(1, len(chosen))
            for number, fit in zip(remaining, fits, strict=True)
        ]
        best = remaining.pop(worth.index(max(worth)))
        chosen.append(best)
        for number in remaining:
            likeness[number] += cosine(documents[number], documents[best])
    return chosen


def relevance(documents: Sequence[Document], query: Sequence[str], config: ReRankConfig) -> list[float]:
    """The BM25 score of each document among these."""
    average = sum(document.length for document in documents) / len(documents)
    scores = [0.0] * len(documents)
    for word in query:
        holding = sum(word in document.words for document in documents)
        rarity = math.log((len(documents) - holding + 0.5) / (holding + 0.5) + 1)
        for number, document in enumerate(documents):
            if often := document.words[word]:
                length = 1 - config.b + config.b * document.length / average
                scores[number] += rarity * often * (config.k1 + 1) / (often + config.k1 * length)
    return scores


def cosine(one: Document, other: Document) -> float:
    norms = one.norm * other.norm
    return sum(map(mul, one.vector, other.vector)) / norms if norms else 0.0


_FOUND = '{"text":"red shoes","vector":[1.0,0.0]},{"text":"blue shoes","vector":[0.0,1.0]}'
_TURNED = '{"text":"blue shoes","vector":[0.0,1.0]},{"text":"red shoes","vector":[1.0,0.0]}'
AGENT = Declaration(
    type="re-rank",
    kind="processor",
    summary="Sorts a list of found documents by how well they fit a query and how little they repeat.",
    config=ReRankConfig,
    handler=ReRank,
    example=Example(
        configuration={
            "field": "value.found",
            "output-field": "value.found",
            "algorithm": "MMR",
            "query-text": "value.question",
            "query-embeddings": "value.vector",
            "text-field": "record.text",
            "embeddings-field": "record.vector",
            "max": 5,
        },
        record=Record(f'{{"question":"blue","vector":[0.5,0.5],"found":[{_FOUND}]}}', "k"),
        results=[Record(f'{{"question":"blue","vector":[0.5,0.5],"found":[{_TURNED}]}}', "k")],
    ),
)
