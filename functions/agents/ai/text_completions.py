"""`ai-text-completions`: has a model continue a text made from the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ....record import Record
from ...api import Context, Declaration, Example
from ...context import TransformContext, write_field
from ...templates import compile_template
from ._completions import Answer, CompletionConfig, Completions, Piece
from ._services import AI_TYPES, LIBRARIES

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class TextCompletionsConfig(CompletionConfig):
    """`prompt`: templates; most services take exactly one. `logprobs`: how many to ask for."""

    prompt: tuple[str, ...]
    logprobs: int | None = None
    logprobs_field: str | None = None


class TextCompletions(Completions):
    metric = "openai_text_completions"
    type = "ai-text-completions"
    prompt_name = "prompt"

    def __init__(self, config: TextCompletionsConfig, context: Context) -> None:
        super().__init__(config, context)
        self._templates = [compile_template(text) for text in config.prompt]
        self._logprobs_field = config.logprobs_field
        if config.logprobs is not None:
            self._parameters["logprobs"] = config.logprobs

    def endpoint(self, client: AsyncOpenAI) -> Callable[..., Awaitable[Any]]:
        return client.completions.create

    def prompt(self, scope: dict[str, Any]) -> list[Any]:
        return [template.render(scope) for template in self._templates]

    def piece(self, choice: Any, *, first: bool) -> Piece:
        text = getattr(choice, "text", None) or ""
        if first and not text.strip():  # models begin with an empty line
            return Piece("")
        found = getattr(choice, "logprobs", None)
        tokens, logprobs = getattr(found, "tokens", None), getattr(found, "token_logprobs", None)
        return Piece(text, tuple(tokens or ()), tuple(logprobs or ()))

    def write_more(self, record: TransformContext, answer: Answer) -> None:
        if self._logprobs_field:
            tokens = [token for piece in answer.pieces for token in piece.tokens]
            logprobs = [number for piece in answer.pieces for number in piece.logprobs]
            write_field(record, self._logprobs_field, {"tokens": tokens, "logprobs": logprobs})


AGENT = Declaration(
    type="ai-text-completions",
    kind="processor",
    summary="Has a model continue a text and writes what it adds, streaming it to a topic if wanted.",
    config=TextCompletionsConfig,
    handler=TextCompletions,
    extra="ai",
    preload=LIBRARIES,
    topic_fields=("stream-to-topic",),
    resource_fields={"ai-service": AI_TYPES},
    uses_ai=True,
    example=Example(
        configuration={
            "model": "gpt-3.5-turbo-instruct",
            "prompt": ["The capital of {{value.country}} is"],
            "completion-field": "value.text",
            "max-tokens": 8,
        },
        record=Record('{"country":"France"}', "k"),
    ),
)
