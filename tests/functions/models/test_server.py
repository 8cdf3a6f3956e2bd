"""The protocol, with OpenAI's own client against the real model process."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest

from tidemill.functions.models import client, process
from tidemill.functions.models.protocol import MAX_BODY

CAPITAL: Any = [{"role": "user", "content": "What is the capital of France?"}]

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture(scope="module")
def models(machine: None) -> Iterator[openai.OpenAI]:
    with client.connect_blocking() as found:
        yield found


def raw(request: bytes) -> tuple[int, Any]:
    """Status and JSON of an answer to bytes that OpenAI's client would not send."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(str(process.ensure_running()))
        wire.sendall(request)
        head, _, body = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), msgspec.json.decode(body)


def post(path: str, body: bytes) -> tuple[int, Any]:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(head.encode() + body)


def health() -> Any:
    return raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[1]


def test_a_chat_is_answered_whatever_model_it_names(models: openai.OpenAI) -> None:
    found = models.chat.completions.create(model="gpt-3.5-turbo", messages=CAPITAL)
    assert "Paris" in (found.choices[0].message.content or "")
    assert found.model == "smollm2-135m-instruct"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_a_stream_gives_the_same_answer_in_pieces(models: openai.OpenAI) -> None:
    whole = models.chat.completions.create(model="m", messages=CAPITAL).choices[0].message.content
    stream = models.chat.completions.create(
        model="m", messages=CAPITAL, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(pieces) == whole
    assert len(pieces) > 3
    assert {chunk.model for chunk in chunks} == {"smollm2-135m-instruct"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 3


def test_the_same_request_gets_the_same_answer_after_another(models: openai.OpenAI) -> None:
    def story(about: str, **options: Any) -> str | None:
        said: Any = [{"role": "user", "content": f"Tell a short story about {about}."}]
        return (
            models.chat.completions.create(model="m", messages=said, max_tokens=30, **options)
            .choices[0]
            .message.content
        )

    greedy, warm = story("a tide mill"), story("a tide mill", temperature=0.9)
    assert story("a tide") not in (greedy, warm)
    assert (story("a tide mill"), story("a tide mill", temperature=0.9)) == (greedy, warm)
    assert story("a tide mill", temperature=0.9, seed=7) != warm


def test_content_may_come_in_parts(models: openai.OpenAI) -> None:
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": CAPITAL[0]["content"]}]}]
    found = models.chat.completions.create(model="m", messages=parts)
    assert "Paris" in (found.choices[0].message.content or "")


def test_json_can_be_asked_for(models: openai.OpenAI) -> None:
    said: Any = [{"role": "user", "content": "Give JSON with the name and age of Bob, who is 5."}]
    found = models.chat.completions.create(
        model="m", messages=said, max_tokens=60, response_format={"type": "json_object"}
    )
    assert msgspec.json.decode(found.choices[0].message.content or "")["name"] == "Bob"


def test_max_tokens_bound_the_answer(models: openai.OpenAI) -> None:
    found = models.chat.completions.create(model="m", messages=CAPITAL, max_tokens=2)
    assert found.usage is not None
    assert found.usage.completion_tokens == 2
    assert found.choices[0].finish_reason == "length"


def test_a_text_is_completed_with_its_log_probabilities(models: openai.OpenAI) -> None:
    found = models.completions.create(model="m", prompt="Once upon a time", max_tokens=4, logprobs=2)
    choice = found.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert "".join(choice.logprobs.tokens) == choice.text
    assert all(len(top) == 2 for top in choice.logprobs.top_logprobs or [])
    pieces = models.completions.create(model="m", prompt="Once upon a time", max_tokens=4, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == choice.text


def test_embeddings_do_not_depend_on_their_company_or_form(models: openai.OpenAI) -> None:
    texts = ["a tide mill", "a much longer text about something else entirely", "x"]
    together = models.embeddings.create(model="text-embedding-ada-002", input=texts)
    alone = models.embeddings.create(model="m", input=texts[0], encoding_format="float")
    assert together.model == "all-minilm-l6-v2"
    assert [one.index for one in together.data] == [0, 1, 2]
    assert len(together.data[0].embedding) == 384
    assert together.data[0].embedding == pytest.approx(alone.data[0].embedding, abs=1e-7)
    assert together.usage.prompt_tokens > alone.usage.prompt_tokens > 2


def test_the_models_are_listed(models: openai.OpenAI) -> None:
    assert {model.id for model in models.models.list()} == {"smollm2-135m-instruct", "all-minilm-l6-v2"}
    assert models.models.retrieve("all-minilm-l6-v2").owned_by == "tidemill"
    with pytest.raises(openai.NotFoundError, match="there are: smollm2"):
        models.models.retrieve("gpt-4")


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/chat/completions", b"{", 400, "not JSON"),
        ("/v1/chat/completions", b"[]", 400, "not a JSON object"),
        ("/v1/chat/completions", b"{}", 400, "'messages'"),
        ("/v1/chat/completions", b'{"messages":[]}', 400, "'messages'"),
        ("/v1/chat/completions", b'{"messages":["hi"]}', 400, "'role'"),
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":5}]}', 400, "content"),
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"a"}],"n":2}', 400, "one choice"),
        (
            "/v1/chat/completions",
            b'{"messages":[{"role":"user","content":"a"}],"max_tokens":0}',
            400,
            "above 0",
        ),
        (
            "/v1/chat/completions",
            b'{"messages":[{"role":"user","content":"a"}],"temperature":"hot","stream":true}',
            400,
            "temperature",
        ),
        (
            "/v1/chat/completions",
            b'{"messages":[{"role":"user","content":"' + b"word " * 5000 + b'"}]}',
            400,
            "context size",
        ),
        ("/v1/completions", b'{"prompt":[1,2]}', 400, "'prompt'"),
        ("/v1/embeddings", b"{}", 400, "'input'"),
        ("/v1/embeddings", b'{"input":[]}', 400, "1 to 2048"),
        ("/v1/embeddings", b'{"input":[[1,2]]}', 400, "list of texts"),
        ("/v1/embeddings", b'{"input":"a","dimensions":8}', 400, "384"),
        ("/v1/embeddings", b'{"input":"' + b"a" * MAX_BODY + b'"}', 413, "4 MiB"),
        ("/v1/images", b"{}", 404, "/v1/images"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_with_a_reason(
    path: str, body: bytes, status: int, says: str
) -> None:
    found, answer = post(path, body)
    assert found == status
    assert says in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


def test_many_at_once_wait_in_line() -> None:
    async def ask_all() -> list[str | None]:
        async with client.connect() as models:
            asked = [
                models.chat.completions.create(model="m", messages=CAPITAL, max_tokens=8) for _ in range(6)
            ]
            embedded = models.embeddings.create(model="m", input=["a"] * 20)
            *answers, _ = await asyncio.gather(*asked, embedded)
        return [answer.choices[0].message.content for answer in answers]

    assert set(asyncio.run(ask_all())) == {"The capital of France is Paris."}


def test_a_client_that_leaves_ends_its_chat(models: openai.OpenAI) -> None:
    said: Any = [{"role": "user", "content": "Write a very long story about the sea, with many chapters."}]
    stream = models.chat.completions.create(model="m", messages=said, max_tokens=1024, stream=True)
    next(iter(stream))
    stream.close()
    started = time.monotonic()
    while health()["active"]:
        assert time.monotonic() - started < 5, "1024 tokens take far longer"
        time.sleep(0.01)


def test_the_process_opens_no_port(models: openai.OpenAI) -> None:
    models.chat.completions.create(model="m", messages=CAPITAL, max_tokens=1)  # llama.cpp is loaded
    fds = f"/proc/{process.running()}/fd"
    if not os.path.isdir(fds):
        pytest.skip("no /proc here: run it on Linux")
    sockets = set()
    for name in os.listdir(fds):
        target = os.readlink(f"{fds}/{name}")
        if target.startswith("socket:"):
            sockets.add(target[len("socket:[") : -1])
    ports = [line.split()[9] for kind in ("tcp", "tcp6") for line in _lines(f"/proc/net/{kind}")]
    assert sockets
    assert not sockets & set(ports)
    assert not list(process.place().socket.parent.glob("*.llama.sock"))


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return file.read().splitlines()[1:]
