"""What chat and text completions share: configuration, the call, streaming, where results are written.

`chat_completions.py` and `text_completions.py` add the form of the prompt and of the answer. A record
costs one call; records are worked on side by side, and their answers come in any order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ...api import Context
from ...context import TransformContext, write_field
from ...expressions import to_json
from ...templates import template_scope
from ...transforms import Transform, TransformConfig
from ._services import Model, choose
from ._streaming import ChunkWriter

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Sent only if set. The names in the protocol are those of the fields.
SAMPLING = (
    "max_tokens",
    "temperature",
    "top_p",
    "logit_bias",
    "user",
    "stop",
    "presence_penalty",
    "frequency_penalty",
)


class CompletionConfig(TransformConfig):
    """`min-chunks-per-message` is the size to which messages grow; `options` are for other providers."""

    model: str
    completion_field: str | None = None
    stream_to_topic: str | None = None
    stream_response_completion_field: str | None = None
    min_chunks_per_message: int = 20
    stream: bool = True
    log_field: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    logit_bias: dict[str, int] | None = None
    user: str | None = None
    stop: tuple[str, ...] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    ai_service: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    def sampling(self) -> dict[str, Any]:
        return {name: value for name in SAMPLING if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, or all of it; with the tokens that it was made of, if the model tells."""

    text: str
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()


@dataclass(slots=True)
class Answer:
    """The pieces so far."""

    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class Completions(Transform):
    """Asks a model and writes its answer."""

    metric: ClassVar[str]
    type: ClassVar[str]
    prompt_name: ClassVar[str]  # of the request's field that holds the prompt

    def __init__(self, config: CompletionConfig, context: Context) -> None:
        super().__init__(config, self._complete)
        self._config, self._context = config, context
        service = choose(context, config.ai_service)
        self._model = Model(service, config.model, context, metric=self.metric, kind="chat")
        self._parameters = {"model": self._model.name, **config.sampling()}
        self._create: Callable[..., Awaitable[Any]]

    def start(self) -> None:
        self._create = self.endpoint(self._model.start())

    async def close(self) -> None:
        await self._model.close()

    def info(self) -> dict[str, Any]:
        return self._model.info()

    def endpoint(self, client: AsyncOpenAI) -> Callable[..., Awaitable[Any]]:
        """The client's method that asks."""
        raise NotImplementedError

    def prompt(self, scope: dict[str, Any]) -> list[Any]:
        """The prompt for a record, as the request and the log hold it."""
        raise NotImplementedError

    def piece(self, choice: Any, *, first: bool) -> Piece:
        """The part of an answer in a choice of a chunk or of a whole answer."""
        raise NotImplementedError

    def write_more(self, record: TransformContext, answer: Answer) -> None:
        """What an agent writes beside the answer's text."""

    async def _complete(self, record: TransformContext) -> None:
        prompt = self.prompt(template_scope(record.scope()))
        answer = await (self._streamed if self._config.stream else self._whole)(record, prompt)
        write_field(record, self._config.completion_field, answer.text)
        self.write_more(record, answer)
        if self._config.log_field:
            write_field(record, self._config.log_field, self._log(prompt))

    async def _whole(self, record: TransformContext, prompt: list[Any]) -> Answer:
        answered = await self._model.call(self._create, **{self.prompt_name: prompt}, **self._parameters)
        choices = getattr(answered, "choices", None)
        if not choices:
            raise self._model.unusable("gave no answer")
        return Answer([self.piece(choices[0], first=False)])

    async def _streamed(self, record: TransformContext, prompt: list[Any]) -> Answer:
        answer = Answer()
        writer = self._writer(record)
        chunks = self._model.stream(self._create, **{self.prompt_name: prompt}, **self._parameters)
        async with aclosing(chunks):
            async for answer_id, piece in self._pieces(chunks):
                answer.pieces.append(piece)
                if writer:
                    await writer.add(answer_id, piece.text)
        if writer:
            await writer.end()
        return answer

    async def _pieces(self, chunks: AsyncIterator[Any]) -> AsyncIterator[tuple[str | None, Piece]]:
        first = True
        async for chunk in chunks:
            if choices := getattr(chunk, "choices", None):  # the chunk with the usage has none
                yield getattr(chunk, "id", None), self.piece(choices[0], first=first)
                first = False

    def _writer(self, record: TransformContext) -> ChunkWriter | None:
        config = self._config
        if not config.stream_to_topic:
            return None
        place = config.stream_response_completion_field or config.completion_field
        return ChunkWriter(
            self._context, config.stream_to_topic, place, config.min_chunks_per_message, record.record
        )

    def _log(self, prompt: list[Any]) -> str:
        options = {"type": self.type, **self._config.model_dump(by_alias=True, exclude={"composable"})}
        return to_json({"model": self._model.name, "options": options, "messages": prompt})
