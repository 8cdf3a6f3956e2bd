"""Which AI service an agent calls, and how: OpenAI's protocol through the `openai` package.

Used by the completion and embedding agents. `choose` picks the application's AI resource; where none
has a key, the embedded models answer. `Model` makes the calls of one agent: bounded retries with
Retry-After (the client's own), time-outs, token metrics, errors without keys.

An `open-ai-configuration` with a `url` and the provider `openai` is any server that speaks the
protocol (vLLM, Ollama, KServe …) and `url` is its base URL; only the provider `azure` uses Azure's
paths. LangStream uses Azure's paths for every `url`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from ....errors import ConfigurationError, MissingExtra, NotFound, RecordError, TidemillError
from ...api import Context
from ...unit import ResourceSpec

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# In the order in which one is preferred when an agent names none.
AI_TYPES = (
    "open-ai-configuration",
    "vertex-configuration",
    "hugging-face-configuration",
    "bedrock-configuration",
    "ollama-configuration",
)
# What the client imports when it is made: 0.8 s, which a worker that is forked finds done.
LIBRARIES = (
    "openai",
    "openai.resources.chat.completions",
    "openai.resources.completions",
    "openai.resources.embeddings",
)
OPENAI_URL = "https://api.openai.com/v1"
AZURE_VERSION = "2023-08-01-preview"
MAX_RETRIES = 3
CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0  # between two pieces of an answer; the host's deadline bounds the whole
_HOPELESS = (400, 413, 422)  # the same request gets the same answer again

log = logging.getLogger("tidemill.ai")


class ModelError(RecordError):
    """A model could not be called, or gave no answer that can be used. Holds no key."""

    kind = "INTERNAL_ERROR"

    def __init__(self, service: str, reason: str, status: int | None = None) -> None:
        self.service, self.reason, self.http_status = service, reason, status
        self.permanent = status in _HOPELESS
        super().__init__(f"the AI service '{service}' {reason}")


@dataclass(frozen=True, slots=True)
class Service:
    """Where models are. `key` is repeated in no message."""

    name: str
    key: str = ""
    url: str = ""
    azure: bool = False
    embedded: bool = False


EMBEDDED = Service("embedded models", embedded=True)


def choose(context: Context, wanted: str | None) -> Service:
    """The resource named `wanted`, else the preferred one of the application, else the embedded models."""
    spec = _named(context.resources, wanted) if wanted else _preferred(context.resources)
    if spec is None:
        return EMBEDDED
    if spec.type != "open-ai-configuration":
        raise ConfigurationError(
            f"the AI resource '{spec.id}' has the type {spec.type}, which cannot be called yet",
            hint="use an open-ai-configuration with the 'url' of an OpenAI-compatible endpoint",
        )
    return _openai(spec.id, spec.configuration)


def _named(resources: Mapping[str, ResourceSpec], name: str) -> ResourceSpec:
    fitting = {key: spec for key, spec in resources.items() if spec.type in AI_TYPES}
    if name not in fitting:
        raise NotFound("AI resource", name, fitting)
    return fitting[name]


def _preferred(resources: Mapping[str, ResourceSpec]) -> ResourceSpec | None:
    by_type = {spec.type: spec for spec in resources.values()}  # of one type the last one counts
    return next((by_type[kind] for kind in AI_TYPES if kind in by_type), None)


def _openai(name: str, configuration: Mapping[str, Any]) -> Service:
    key = str(configuration.get("access-key") or "").strip()
    url = configuration.get("url") or None
    azure = configuration.get("provider") == "azure"
    if url is None:
        return Service(name, key, OPENAI_URL) if key else EMBEDDED
    return Service(name, key, url if azure else _base(url), azure)


def _base(url: str) -> str:
    """A server's address alone means its usual path."""
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"


class Model:
    """One agent's way to a service. `name` is the configured model, `metric` begins the counters' names."""

    def __init__(
        self,
        service: Service,
        name: str,
        context: Context,
        *,
        metric: str,
        kind: Literal["chat", "embeddings"],
    ) -> None:
        self.service = service
        self.name = _embedded_name(kind) if service.embedded else name
        self._configured = name
        self._metric = metric
        self._context = context
        self._errors: tuple[type[Exception], ...] = ()
        self._client: AsyncOpenAI | None = None

    def start(self) -> AsyncOpenAI:
        """The client. The package is imported here, so that a missing one stops the start."""
        try:
            import openai
        except ImportError as error:
            raise MissingExtra("openai", "ai", "an AI agent") from error
        # The package hides its HTTP library (httpx or httpx2) but lets its errors through.
        http = importlib.import_module(openai.Timeout.__init__.__module__.partition(".")[0])
        self._errors = (openai.OpenAIError, http.HTTPError, ValueError)
        self._client = _connect(self.service)
        if self.service.embedded and self.name != self._configured:
            told = "agent %s: no AI service has a key, so the embedded model %s answers instead of %s"
            log.info(told, self._context.agent, self.name, self._configured)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def info(self) -> dict[str, Any]:
        return {"service": self.service.name, "model": self.name}

    async def call(self, create: Callable[..., Awaitable[Any]], /, **parameters: Any) -> Any:
        """The whole answer. Raises ModelError."""
        self.count("num_calls")
        failed: ModelError
        try:
            answer = await create(**parameters)
        except self._errors as error:
            failed = self._failure(error)
        else:
            self._count_usage(getattr(answer, "usage", None))
            return answer
        raise failed  # out here, so that it carries no cause, which may hold the request

    async def stream(
        self, create: Callable[..., Awaitable[Any]], /, **parameters: Any
    ) -> AsyncGenerator[Any]:
        """The chunks of an answer; it ends with the stream, finish reason or not. Raises ModelError."""
        self.count("num_calls")
        if not self.service.azure:  # this version of Azure's protocol does not know it
            parameters["stream_options"] = {"include_usage": True}
        usage, failed = None, None
        try:
            async with await create(stream=True, **parameters) as chunks:
                async for chunk in chunks:
                    usage = getattr(chunk, "usage", None) or usage
                    yield chunk
        except self._errors as error:
            failed = self._failure(error)
        if failed is not None:
            raise failed
        self._count_usage(usage)

    def count(self, name: str, amount: float = 1) -> None:
        self._context.count(f"{self._metric}_{name}_total", amount)

    def unusable(self, reason: str) -> ModelError:
        """For an answer that the protocol does not allow."""
        self.count("num_errors")
        return ModelError(self.service.name, reason)

    def _count_usage(self, usage: Any) -> None:
        counted = {
            "total_tokens": "total_tokens",
            "prompt_tokens": "prompt_tokens",
            "completion_tokens": "completions_tokens",
        }
        for field, name in counted.items():
            if amount := getattr(usage, field, None):
                self.count(name, amount)

    def _failure(self, error: Exception) -> ModelError:
        self.count("num_errors")
        status = getattr(error, "status_code", None)
        reason = _reason(error, status)
        if self.service.key:
            reason = reason.replace(self.service.key, "***")
        return ModelError(self.service.name, reason, status)


def _reason(error: Exception, status: int | None) -> str:
    """What went wrong, to follow the service's name."""
    if isinstance(error.__cause__, TidemillError):  # the embedded models could not be started
        told = error.__cause__
        return f"cannot be used: {told.message}" + (f"; {told.hint}" if told.hint else "")
    if status in (401, 403):  # the answer may repeat a part of the key
        return f"refuses the access key (HTTP {status})"
    if status is not None:
        return f"answers HTTP {status}: {_told(error)}"
    kind = type(error).__name__
    if "Timeout" in kind:
        return "did not answer in time"
    if "Connection" in kind or "Connect" in kind:
        return f"cannot be reached or broke off: {error.__cause__ or error}"
    return f"gave an answer that cannot be used ({kind}): {_told(error)}"


def _told(error: Exception) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error)[:500]


def _embedded_name(kind: Literal["chat", "embeddings"]) -> str:
    from ...models.weights import CHAT, EMBEDDINGS

    return CHAT.name if kind == "chat" else EMBEDDINGS.name


def _connect(service: Service) -> AsyncOpenAI:
    import openai

    if service.embedded:
        from ...models.client import connect

        return connect()
    options: dict[str, Any] = {
        "api_key": service.key or "none",
        "max_retries": MAX_RETRIES,
        "timeout": openai.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
    }
    if service.azure:
        return openai.AsyncAzureOpenAI(azure_endpoint=service.url, api_version=AZURE_VERSION, **options)
    return openai.AsyncOpenAI(base_url=service.url, **options)
