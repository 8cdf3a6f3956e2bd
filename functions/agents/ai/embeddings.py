"""`compute-ai-embeddings`: writes the vector of a text made from the record, or from each item of a list.

Texts of many records share one call (`batching.py`). A record whose text cannot be made fails alone;
when a call fails, so do all records of its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic import Field

from ....errors import ConfigurationError, RecordError
from ....record import Record
from ...api import Context, Declaration, Example
from ...batching import BatchExecutor
from ...config import ExpressionText, TemplateText
from ...context import TransformContext, write_field
from ...expressions import compile_expression
from ...expressions.values import Value
from ...templates import compile_template, template_scope, without_legacy_braces
from ...transforms import Transform, TransformConfig
from ._services import AI_TYPES, LIBRARIES, Model, choose

MAX_INPUTS = 2048  # texts in one call: OpenAI's bound

Vector: TypeAlias = list[float]


class EmbeddingsConfig(TransformConfig):
    """`flush-interval` in milliseconds, 0: no batches. The last three are for other providers."""

    model: str = "text-embedding-ada-002"
    text: TemplateText
    embeddings_field: str
    loop_over: ExpressionText | None = None
    batch_size: int = 10
    flush_interval: int = 0
    concurrency: int = 4
    ai_service: str | None = None
    options: dict[str, str] = Field(default_factory=dict)
    arguments: dict[str, str] = Field(default_factory=dict)
    model_url: str | None = None


class Embeddings(Transform):
    def __init__(self, config: EmbeddingsConfig, context: Context) -> None:
        super().__init__(config, self._embed_items if config.loop_over else self._embed)
        self._config = config
        service = choose(context, config.ai_service)
        self._model = Model(service, config.model, context, metric="openai_embeddings", kind="embeddings")
        self._template = compile_template(without_legacy_braces(config.text))
        if config.loop_over:
            self._items = compile_expression(config.loop_over)
            self._member = _member(config.embeddings_field)
        self._batches = BatchExecutor[list[str], list[Vector]](
            self._vectors,
            size=config.batch_size,
            interval=config.flush_interval / 1000,
            buckets=config.concurrency,
            in_flight=lambda: context.in_flight,
        )

    def start(self) -> None:
        self._create = self._model.start().embeddings.create

    async def close(self) -> None:
        await self._batches.close()
        await self._model.close()

    def info(self) -> dict[str, Any]:
        return self._model.info()

    async def _embed(self, record: TransformContext) -> None:
        text = self._template.render(template_scope(record.scope()))
        (vector,) = await self._batches.submit(record.key.value, [text])
        write_field(record, self._config.embeddings_field, vector)

    async def _embed_items(self, record: TransformContext) -> None:
        items = _maps(self._items.evaluate_as(record.scope(), "list"), self._items.text)
        texts = [self._template.render({"record": item}) for item in items]
        vectors = await self._batches.submit(record.key.value, texts) if texts else []
        with_vectors = [{**item, self._member: vector} for item, vector in zip(items, vectors, strict=True)]
        write_field(record, self._config.loop_over, with_vectors)

    async def _vectors(self, batch: Sequence[list[str]]) -> list[list[Vector]]:
        """For the texts of each record their vectors."""
        texts = [text for one in batch for text in one]
        vectors: list[Vector] = []
        for start in range(0, len(texts), MAX_INPUTS):
            vectors += await self._call(texts[start : start + MAX_INPUTS])
        remaining = iter(vectors)
        return [[next(remaining) for _ in one] for one in batch]

    async def _call(self, texts: list[str]) -> list[Vector]:
        # As numbers: not every server that speaks the protocol knows the packed form.
        answer = await self._model.call(
            self._create, model=self._model.name, input=texts, encoding_format="float"
        )
        data = getattr(answer, "data", None) or ()
        if len(data) != len(texts):
            raise self._model.unusable(f"gave {len(data)} vectors for {len(texts)} texts")
        self._model.count("num_texts", len(texts))
        return [[float(number) for number in one.embedding] for one in data]


def _member(address: str) -> str:
    part, dot, name = address.partition(".")
    if part != "record" or not dot or not name or "." in name:
        raise ConfigurationError(
            f"compute-ai-embeddings: with loop-over, embeddings-field must be record.NAME, not '{address}'"
        )
    return name


def _maps(items: Value, expression: str) -> list[dict[str, Value]]:
    if items is None:
        raise RecordError(f"compute-ai-embeddings: the list '{expression}' is null")
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise RecordError(f"compute-ai-embeddings: item {number} of '{expression}' is no map")
    return list(items)


AGENT = Declaration(
    type="compute-ai-embeddings",
    kind="processor",
    summary="Computes the embedding of a text, or of each item of a list, in batches.",
    config=EmbeddingsConfig,
    handler=Embeddings,
    extra="ai",
    preload=LIBRARIES,
    resource_fields={"ai-service": AI_TYPES},
    uses_ai=True,
    example=Example(
        configuration={"text": "{{{value.text}}}", "embeddings-field": "value.embeddings"},
        record=Record('{"text":"Water-resistant headphones for runners"}', "k"),
    ),
)
