"""`compute-ai-embeddings` with the real client: texts, lists, batches, failures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from contract.context import TestContext, results, running
from support.openai_server import Reply, StandIn, error, serving

from tidemill.errors import ConfigurationError, RecordError
from tidemill.functions.agents.ai._services import ModelError
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

CONFIGURATION: dict[str, Any] = {"text": "{{% value.text}}", "embeddings-field": "value.vector"}
ITEMS: dict[str, Any] = {
    "text": "{{record.text}}",
    "embeddings-field": "record.vector",
    "loop-over": "value.docs",
}


def context(server: StandIn, in_flight: int = 1) -> TestContext:
    configuration = {"access-key": "k", "url": server.url}
    service = ResourceSpec(id="service", type="open-ai-configuration", configuration=configuration)
    return TestContext(resources={"service": service}, in_flight=in_flight)


async def embed(
    server: StandIn, records: list[Record], configuration: dict[str, Any] = CONFIGURATION, **more: Any
) -> tuple[list[Any], TestContext]:
    """What becomes of records that are in flight together: values, or the error."""
    host = context(server, len(records))
    async with running("compute-ai-embeddings", {**configuration, **more}, host) as agent:
        ended = await asyncio.gather(*(results(agent, record) for record in records), return_exceptions=True)
    return [end if isinstance(end, BaseException) else json.loads(end[0].value) for end in ended], host


def of_text(text: str, key: str | None = "k") -> Record:
    return Record(json.dumps({"text": text}), key)


def of_docs(*texts: str) -> Record:
    return Record(json.dumps({"docs": [{"text": text, "n": None} for text in texts]}), "k")


def test_the_vector_is_a_list_of_doubles() -> None:
    async def main() -> None:
        async with serving() as server:
            (value,), host = await embed(server, [of_text("four")], model="m")
        assert value == {"text": "four", "vector": [4.0, 0.5]}
        assert all(type(number) is float for number in value["vector"])
        assert server.requests[0].body == {"model": "m", "input": ["four"], "encoding_format": "float"}
        assert dict(host.counted) == {
            "openai_embeddings_num_calls_total": 1,
            "openai_embeddings_total_tokens_total": 1,
            "openai_embeddings_prompt_tokens_total": 1,
            "openai_embeddings_num_texts_total": 1,
        }

    asyncio.run(main())


def test_by_default_every_record_is_a_call() -> None:
    async def main() -> None:
        async with serving() as server:
            values, _ = await embed(server, [of_text("a"), of_text("bb")])
        assert [value["vector"][0] for value in values] == [1.0, 2.0]
        assert [request.body["input"] for request in server.requests] == [["a"], ["bb"]]

    asyncio.run(main())


def test_records_in_flight_together_share_a_call() -> None:
    async def main() -> None:
        async with serving() as server:
            texts = ["a", "bb", "ccc"]
            values, _ = await embed(server, [of_text(text) for text in texts], **{"flush-interval": 60_000})
        assert [value["vector"][0] for value in values] == [1.0, 2.0, 3.0]
        assert [request.body["input"] for request in server.requests] == [texts]

    asyncio.run(main())


def test_a_loop_writes_into_each_item() -> None:
    async def main() -> None:
        async with serving() as server:
            records = [of_docs("a", "bb"), of_docs("ccc")]
            values, _ = await embed(server, records, ITEMS, **{"flush-interval": 60_000})
        assert values[0] == {
            "docs": [
                {"text": "a", "n": None, "vector": [1.0, 0.5]},
                {"text": "bb", "n": None, "vector": [2.0, 0.5]},
            ]
        }
        assert values[1]["docs"][0]["vector"] == [3.0, 0.5]
        assert [request.body["input"] for request in server.requests] == [["a", "bb", "ccc"]]

    asyncio.run(main())


def test_an_empty_list_is_done_at_once() -> None:
    async def main() -> None:
        async with serving() as server:
            values, _ = await asyncio.wait_for(embed(server, [of_docs()], ITEMS), 10)
        assert values == [{"docs": []}]
        assert server.requests == []

    asyncio.run(main())


@pytest.mark.parametrize("value", ["{}", '{"docs":[1]}', '{"docs":5}'])
def test_what_is_no_list_of_maps_fails(value: str) -> None:
    async def main() -> None:
        async with serving() as server:
            (ended,), _ = await embed(server, [Record(value)], ITEMS)
        assert isinstance(ended, RecordError)
        assert "value.docs" in str(ended)

    asyncio.run(main())


@pytest.mark.parametrize("field", ["value.vector", "record", "record.", "record.a.b"])
def test_a_loop_needs_a_place_in_the_item(field: str) -> None:
    async def main() -> None:
        async with running("compute-ai-embeddings", {**ITEMS, "embeddings-field": field}):
            pass

    with pytest.raises(ConfigurationError, match=r"record\.NAME"):
        asyncio.run(main())


def test_a_text_that_cannot_be_made_fails_alone() -> None:
    async def main() -> None:
        async with serving() as server:
            records = [of_text("a"), Record("{}", "k")]
            (value, ended), _ = await embed(server, records, **{"flush-interval": 50})
        assert value["vector"] == [1.0, 0.5]
        assert isinstance(ended, RecordError)

    asyncio.run(main())


def test_a_failed_call_fails_all_that_share_it() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(error(404, "no such model"))
            records = [of_text("a"), of_text("b")]
            ended, host = await embed(server, records, **{"flush-interval": 60_000})
        assert [str(end) for end in ended] == ["the AI service 'service' answers HTTP 404: no such model"] * 2
        assert host.counted["openai_embeddings_num_errors_total"] == 1

    asyncio.run(main())


def test_a_text_that_the_service_cannot_take_fails_alone() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(error(400, "too long"), error(400, "too long"))
            records = [of_text("much too long"), of_text("b")]
            (first, second), _ = await embed(server, records, **{"flush-interval": 60_000})
        assert isinstance(first, ModelError)
        assert first.permanent
        assert second["vector"] == [1.0, 0.5]

    asyncio.run(main())


def test_too_few_vectors_are_an_error() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Reply({"data": [{"index": 0, "embedding": [1.0]}]}))
            (ended,), _ = await embed(server, [of_docs("a", "b")], ITEMS)
        assert "gave 1 vectors for 2 texts" in str(ended)

    asyncio.run(main())


def test_a_long_list_takes_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.functions.agents.ai.embeddings.MAX_INPUTS", 2)

    async def main() -> None:
        async with serving() as server:
            (value,), _ = await embed(server, [of_docs("a", "bb", "ccc")], ITEMS)
        assert [doc["vector"][0] for doc in value["docs"]] == [1.0, 2.0, 3.0]
        assert [request.body["input"] for request in server.requests] == [["a", "bb"], ["ccc"]]

    asyncio.run(main())


def test_the_embedded_model_finds_what_is_meant(models: None) -> None:
    async def main() -> None:
        host = TestContext()
        texts = ["headphones for runners", "earbuds for jogging", "tax law of 1987"]
        async with running("compute-ai-embeddings", CONFIGURATION, host) as agent:
            assert agent.info() == {"service": "embedded models", "model": "all-minilm-l6-v2"}
            ended = await asyncio.gather(*(results(agent, of_text(text)) for text in texts))
        runners, jogging, law = (json.loads(records[0].value)["vector"] for records in ended)
        assert len(runners) == 384
        assert _product(runners, jogging) > _product(runners, law) + 0.2
        assert host.counted["openai_embeddings_num_texts_total"] == 3

    asyncio.run(main())


def _product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
