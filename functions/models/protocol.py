"""What of OpenAI's protocol the embedded models speak: requests checked and bounded, errors, answers.

Pure functions between `server` and the engines. A request is copied field by field, so that nothing
reaches llama.cpp that the protocol does not name. The `model` of a request is not looked at: an
application that names gpt-3.5-turbo runs offline as it is, and the answer names the model that gave it.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .embeddings import DIMENSIONS, Embedding
from .weights import CHAT, EMBEDDINGS, MODELS

Json = dict[str, Any]
Shape = Literal["chat", "text"]  # of /v1/chat/completions and /v1/completions

MAX_BODY = 4 << 20
MAX_INPUTS = 2048
DEFAULT_TOKENS = 256
MAX_TOKENS = 1024
SEED = 42

_SAMPLING = ("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "logit_bias")
_CHAT_ONLY = ("messages", "response_format", "tools", "tool_choice", "logprobs", "top_logprobs")


class RequestError(Exception):
    """A request that gets an error answer; `param` is the field at fault."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        self.status, self.message, self.param, self.code = status, message, param, code
        super().__init__(message)

    def body(self) -> Json:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def model_list() -> Json:
    return {"object": "list", "data": [model_entry(model.name) for model in MODELS]}


def model_entry(name: str) -> Json:
    if all(model.name != name for model in MODELS):
        known = ", ".join(model.name for model in MODELS)
        raise RequestError(404, f"no model '{name}'; there are: {known}", code="model_not_found")
    return {"id": name, "object": "model", "created": 0, "owned_by": "tidemill"}


def generation(request: Json, shape: Shape) -> Json:
    """The request as llama.cpp gets it: greedy unless it says otherwise, and the same every time."""
    allowed = _SAMPLING + (_CHAT_ONLY if shape == "chat" else ())
    job = {name: request[name] for name in allowed if request.get(name) is not None}
    if shape == "chat":
        _check_messages(job.get("messages"))
    else:
        job |= _text_fields(request)
    if request.get("n") not in (None, 1):
        raise RequestError(400, "the embedded model gives one choice only", param="n")
    job["max_tokens"] = _max_tokens(request)
    job["stream"] = request.get("stream") is True
    options = request.get("stream_options")
    if job["stream"] and isinstance(options, dict):
        job["stream_options"] = {"include_usage": options.get("include_usage") is True}
    # Reusing the last prompt's state changes the arithmetic, and with it now and then the answer.
    return {"temperature": 0, "seed": SEED, **job, "cache_prompt": False}


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "'messages' must be a list with at least one message", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(
                400, "every message must be an object with a 'role'", param=f"messages[{index}]"
            )


def _text_fields(request: Json) -> Json:
    prompt = request.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RequestError(400, "'prompt' must be one text", param="prompt")
    if request.get("echo"):
        raise RequestError(400, "the embedded model does not echo the prompt", param="echo")
    # An empty prompt gives llama.cpp nothing to continue; the start of a text is what is meant.
    fields: Json = {"prompt": prompt or "<|endoftext|>"}
    if isinstance(count := request.get("logprobs"), int) and count > 0:
        fields["logprobs"] = min(count, 5)
    return fields


def _max_tokens(request: Json) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        value = request.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(400, f"'{name}' must be a whole number above 0", param=name)
        return min(value, MAX_TOKENS)
    return DEFAULT_TOKENS


def answer(raw: Json, shape: Shape) -> Json:
    """One object of llama.cpp (an answer or a chunk of a stream) as the protocol has it."""
    if "error" in raw:
        error = raw["error"]
        code = "context_length_exceeded" if error.get("type") == "exceed_context_size_error" else None
        raise RequestError(int(error.get("code", 500)), str(error.get("message")), code=code)
    kept = {name: value for name, value in raw.items() if name != "timings"}
    if shape == "text":
        kept["choices"] = [_text_choice(choice) for choice in raw.get("choices", ())]
    return {**kept, "model": CHAT.name}


def _text_choice(choice: Json) -> Json:
    """The older of the two forms of log probabilities, which belongs to text completions."""
    found = choice.get("logprobs")
    if not found:
        return choice
    tokens = found["content"]
    logprobs = {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in tokens],
        "text_offset": [],
    }
    return {**choice, "logprobs": logprobs}


def embedding_inputs(request: Json) -> list[str]:
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError(400, "'input' must be a text or a list of texts", param="input")
    if not 1 <= len(texts) <= MAX_INPUTS:
        raise RequestError(400, f"'input' must hold 1 to {MAX_INPUTS} texts", param="input")
    if request.get("dimensions") not in (None, DIMENSIONS):
        raise RequestError(400, f"the embedded model gives {DIMENSIONS} dimensions", param="dimensions")
    if request.get("encoding_format") not in (None, "float", "base64"):
        raise RequestError(400, "'encoding_format' must be float or base64", param="encoding_format")
    return texts


def embedding_answer(request: Mapping[str, Any], found: Sequence[Embedding]) -> Json:
    as_text = request.get("encoding_format") == "base64"
    tokens = sum(one.tokens for one in found)
    return {
        "object": "list",
        "model": EMBEDDINGS.name,
        "data": [
            {"object": "embedding", "index": index, "embedding": _vector(one, as_text)}
            for index, one in enumerate(found)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(one: Embedding, as_text: bool) -> str | list[float]:
    return base64.b64encode(one.vector).decode() if as_text else array("f", one.vector).tolist()
