"""`ai-text-completions` with the real client: what differs from chats."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from contract.context import TestContext, results, running
from support.openai_server import Reply, StandIn, Stream, serving, text_chunk, usage

from tidemill.errors import RecordError
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

RECORD = Record('{"country":"France"}', "k")
CONFIGURATION: dict[str, Any] = {
    "model": "m",
    "prompt": ["The capital of {{value.country}} is"],
    "completion-field": "value.text",
    "logprobs": "2",
    "logprobs-field": "value.tokens",
    "log-field": "value.log",
}
WHOLE = text_chunk(" Paris", {"tokens": [" Par", "is"], "token_logprobs": [-0.5, -0.25]}, "length")


async def complete(server: StandIn, **more: Any) -> tuple[dict[str, Any], TestContext]:
    configuration = {"access-key": "k", "url": server.url}
    service = ResourceSpec(id="service", type="open-ai-configuration", configuration=configuration)
    host = TestContext(resources={"service": service})
    async with running("ai-text-completions", {**CONFIGURATION, **more}, host) as agent:
        (answered,) = await results(agent, RECORD)
    return json.loads(answered.value), host


def test_the_prompt_is_a_list_and_tokens_come_with_the_text() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Reply({**WHOLE, "usage": usage((5, 2))}))
            value, host = await complete(server, stream=False)
        log = json.loads(value.pop("log"))
        assert log["messages"] == ["The capital of France is"]
        assert value == {
            "country": "France",
            "text": " Paris",
            "tokens": {"tokens": [" Par", "is"], "logprobs": [-0.5, -0.25]},
        }
        (request,) = server.requests
        assert request.path == "/v1/completions"
        assert request.body == {"model": "m", "prompt": ["The capital of France is"], "logprobs": 2}
        assert host.counted["openai_text_completions_total_tokens_total"] == 7
        assert host.counted["openai_text_completions_completions_tokens_total"] == 2

    asyncio.run(main())


def test_a_blank_beginning_is_left_out_of_a_stream() -> None:
    async def main() -> None:
        async with serving() as server:
            chunks = [
                text_chunk("\n", {"tokens": ["\n"], "token_logprobs": [-9.0]}),
                text_chunk(" Par", {"tokens": [" Par"], "token_logprobs": [-0.5]}),
                text_chunk("is", {"tokens": ["is"], "token_logprobs": [-0.25]}, "stop"),
            ]
            server.will(Stream(chunks))
            value, host = await complete(server, **{"stream-to-topic": "answers"})
        assert value["text"] == " Paris"
        assert value["tokens"] == {"tokens": [" Par", "is"], "logprobs": [-0.5, -0.25]}
        assert [json.loads(chunk.value)["text"] for _, chunk, _ in host.published] == [" Par", "is"]

    asyncio.run(main())


def test_without_log_probabilities_both_lists_are_empty() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Stream([text_chunk("Paris", finish="stop")]))
            value, _ = await complete(server)
        assert value["tokens"] == {"tokens": [], "logprobs": []}

    asyncio.run(main())


def test_the_older_braces_of_chats_are_unknown_here() -> None:
    async def main() -> None:
        async with serving() as server:
            with pytest.raises(RecordError, match="is not there"):
                await complete(server, prompt=["{{% value.country}}"])

    asyncio.run(main())
