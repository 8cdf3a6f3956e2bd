"""`ai-chat-completions`: asks a chat model, with messages made from the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from ....record import Record
from ...api import Context, Declaration, Example
from ...config import TemplateText
from ...templates import compile_template, without_legacy_braces
from ._completions import CompletionConfig, Completions, Piece
from ._services import AI_TYPES, LIBRARIES

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class MessageConfig(BaseModel):
    """`content` is a template."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    role: str = "user"
    content: TemplateText


class ChatCompletionsConfig(CompletionConfig):
    messages: tuple[MessageConfig, ...]


class ChatCompletions(Completions):
    metric = "openai_chat_completions"
    type = "ai-chat-completions"
    prompt_name = "messages"

    def __init__(self, config: ChatCompletionsConfig, context: Context) -> None:
        super().__init__(config, context)
        self._messages = [
            (message.role, compile_template(without_legacy_braces(message.content)))
            for message in config.messages
        ]

    def endpoint(self, client: AsyncOpenAI) -> Callable[..., Awaitable[Any]]:
        return client.chat.completions.create

    def prompt(self, scope: dict[str, Any]) -> list[Any]:
        return [{"role": role, "content": template.render(scope)} for role, template in self._messages]

    def piece(self, choice: Any, *, first: bool) -> Piece:
        said = getattr(choice, "delta", None) or getattr(choice, "message", None)
        return Piece(getattr(said, "content", None) or "")


AGENT = Declaration(
    type="ai-chat-completions",
    kind="processor",
    summary="Asks a chat model and writes its answer, streaming it to a topic if wanted.",
    config=ChatCompletionsConfig,
    handler=ChatCompletions,
    extra="ai",
    preload=LIBRARIES,
    topic_fields=("stream-to-topic",),
    resource_fields={"ai-service": AI_TYPES},
    uses_ai=True,
    example=Example(
        configuration={
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Answer in one word. {{{value.question}}}"}],
            "completion-field": "value.answer",
            "max-tokens": 20,
        },
        record=Record('{"question":"What is the capital of France?"}', "k"),
    ),
)
