"""`ai-chat-completions` with the real client: what is asked, what is written, what is streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from contract.context import TestContext, results, running
from support.openai_server import StandIn, Stream, chat, chat_chunk, chat_stream, serving

from tidemill.errors import RecordError
from tidemill.functions.api import Results
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

QUESTION = Record('{"q":"Good for jogging?"}', "k", (("session", "s1"),), "questions", 1000)
CONFIGURATION: dict[str, Any] = {
    "model": "some-model",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "{{% value.q}}"},
    ],
    "completion-field": "value.answer",
}


def context(server: StandIn, **given: Any) -> TestContext:
    configuration = {"access-key": "sk-key-of-tests", "url": server.url}
    service = ResourceSpec(id="service", type="open-ai-configuration", configuration=configuration)
    return TestContext(resources={"service": service}, **given)


async def ask(server: StandIn, *, record: Record = QUESTION, **more: Any) -> tuple[Any, TestContext]:
    host = context(server)
    async with running("ai-chat-completions", {**CONFIGURATION, **more}, host) as agent:
        (answered,) = await results(agent, record)
    return answered, host


def test_the_prompt_is_rendered_and_the_answer_written() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(chat("Yes."))
            answered, host = await ask(
                server, stream=False, temperature=0.5, stop=["\n"], **{"max-tokens": "9"}
            )
        assert answered == Record('{"q":"Good for jogging?","answer":"Yes."}', *_rest(QUESTION))
        assert server.requests[0].path == "/v1/chat/completions"
        assert server.requests[0].body == {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "Good for jogging?"},
            ],
            "max_tokens": 9,
            "temperature": 0.5,
            "stop": ["\n"],
        }
        assert host.published == []
        assert dict(host.counted) == {
            "openai_chat_completions_num_calls_total": 1,
            "openai_chat_completions_total_tokens_total": 8,
            "openai_chat_completions_prompt_tokens_total": 5,
            "openai_chat_completions_completions_tokens_total": 3,
        }

    asyncio.run(main())


def _rest(record: Record) -> tuple[Any, ...]:
    return record.key, record.headers, record.origin, record.timestamp


def test_without_a_field_the_answer_replaces_the_value() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(chat("Yes."), chat("Yes."))
            configuration = {"completion-field": None, "stream": False, "log-field": "properties.log"}
            answered, _ = await ask(server, **configuration)
            assert answered.value == "Yes."
            assert json.loads(answered.header("log"))["model"] == "some-model"
            with pytest.raises(RecordError, match=r"value\.answer"):
                await ask(server, record=Record("plain text"), stream=False, messages=[{"content": "hi"}])

    asyncio.run(main())


def test_the_log_holds_model_options_and_rendered_messages() -> None:
    async def main() -> None:
        async with serving() as server:
            answered, _ = await ask(server, **{"log-field": "value.log", "when": "value.q != null"})
        log = json.loads(json.loads(answered.value)["log"])
        assert list(log) == ["model", "options", "messages"]
        assert log["messages"][1] == {"role": "user", "content": "Good for jogging?"}
        options = log["options"]
        assert options["type"] == "ai-chat-completions"
        assert options["when"] == "value.q != null"
        assert options["messages"][1]["content"] == "{{% value.q}}"
        assert options["min-chunks-per-message"] == 20
        assert options["max-tokens"] is None

    asyncio.run(main())


def test_a_record_that_is_not_meant_costs_no_call() -> None:
    async def main() -> None:
        async with serving() as server:
            answered, _ = await ask(server, when="value.q == 2", record=Record('{ "q": 1 }'))
        assert answered.value == '{"q":1}'
        assert server.requests == []

    asyncio.run(main())


def test_a_hole_in_the_prompt_fails_the_record() -> None:
    async def main() -> None:
        async with serving() as server:
            with pytest.raises(RecordError, match=r"value\.q"):
                await ask(server, record=Record("{}"))
        assert server.requests == []

    asyncio.run(main())


STREAMING = {"stream-to-topic": "answers", "stream-response-completion-field": "value"}


def test_pieces_are_grouped_into_growing_messages() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(chat_stream(*"abcdefghijk", identity="answer-7"))
            answered, host = await ask(server, **STREAMING, **{"min-chunks-per-message": 4})
        assert json.loads(answered.value)["answer"] == "abcdefghijk"
        assert answered.headers == QUESTION.headers
        topics, chunks, channels = zip(*host.published, strict=True)
        assert set(topics) == {"answers"}
        assert [chunk.value for chunk in chunks] == ["a", "bc", "defg", "hijk", ""]
        assert [dict(chunk.headers) for chunk in chunks] == [
            {
                "session": "s1",
                "stream-id": "answer-7",
                "stream-index": str(index),
                "stream-last-message": "true" if index == 5 else "false",
            }
            for index in range(1, 6)
        ]
        assert {chunk.key for chunk in chunks} == {"k"}
        assert len(set(channels)) == 1
        assert "answer-7" in channels[0]
        assert server.requests[0].body["stream"] is True
        assert host.counted["openai_chat_completions_total_tokens_total"] == 8

    asyncio.run(main())


def test_chunks_go_where_the_answer_goes_unless_told() -> None:
    async def main() -> None:
        async with serving() as server:
            _, host = await ask(server, **{"stream-to-topic": "answers"})
        (_, first, _), (_, last, _) = host.published
        assert first.value == '{"q":"Good for jogging?","answer":"Good for jogging?"}'
        assert last.value == '{"q":"Good for jogging?","answer":""}'

    asyncio.run(main())


def test_a_chunk_is_written_before_the_model_has_finished() -> None:
    async def main() -> None:
        async with serving() as server:
            gate = asyncio.Event()
            server.will(Stream([chat_chunk("first "), gate, chat_chunk("second", finish="stop")]))
            host = _Opening(gate, resources=context(server).resources)
            async with running("ai-chat-completions", {**CONFIGURATION, **STREAMING}, host) as agent:
                (answered,) = await asyncio.wait_for(results(agent, QUESTION), 10)
        assert json.loads(answered.value)["answer"] == "first second"

    asyncio.run(main())


class _Opening(TestContext):
    """Opens the gate behind which the rest of the answer waits when the first chunk arrives."""

    def __init__(self, gate: asyncio.Event, **given: Any) -> None:
        super().__init__(**given)
        self._gate = gate

    async def publish(self, topic: str, record: Record, channel: str = "side") -> None:
        await super().publish(topic, record, channel)
        self._gate.set()


@pytest.mark.parametrize("done", [True, False])
def test_a_stream_without_finish_reason_is_complete_at_its_end(done: bool) -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Stream([chat_chunk("Yes"), chat_chunk(".")], done=done))
            answered, host = await ask(server, **STREAMING)
        assert json.loads(answered.value)["answer"] == "Yes."
        assert [chunk.value for _, chunk, _ in host.published] == ["Yes", "."]
        assert host.published[-1][1].header("stream-last-message") == "true"

    asyncio.run(main())


def test_an_empty_stream_is_an_empty_answer() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Stream([]))
            answered, host = await ask(server, **STREAMING)
        assert json.loads(answered.value)["answer"] == ""
        ((_, chunk, _),) = host.published
        assert (chunk.value, chunk.header("stream-last-message")) == ("", "true")
        assert chunk.header("stream-id")

    asyncio.run(main())


def test_an_answer_that_is_not_streamed_writes_no_chunks() -> None:
    async def main() -> None:
        async with serving() as server:
            _, host = await ask(server, stream=False, **STREAMING)
        assert host.published == []

    asyncio.run(main())


def test_a_chunk_that_cannot_be_written_fails_the_record() -> None:
    async def main() -> None:
        async with serving() as server:
            host = context(server, fail_publish=RecordError("the topic is full"))
            async with running("ai-chat-completions", {**CONFIGURATION, **STREAMING}, host) as agent:
                with pytest.raises(RecordError, match="the topic is full"):
                    await results(agent, QUESTION)

    asyncio.run(main())


def test_records_are_asked_side_by_side() -> None:
    async def main() -> None:
        async with serving() as server:
            gate = asyncio.Event()
            server.will(Stream([gate, chat_chunk("slow")]), chat_stream("fast"))
            async with running("ai-chat-completions", CONFIGURATION, context(server)) as agent:
                slow = asyncio.ensure_future(_answer(agent, QUESTION))
                await server.asked.wait()
                assert "fast" in (await _answer(agent, QUESTION))[0].value
                gate.set()
                assert "slow" in (await slow)[0].value

    asyncio.run(main())


async def _answer(agent: Any, record: Record) -> Results:
    return await asyncio.wait_for(results(agent, record), 10)


def test_a_cancelled_record_ends_its_call() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Stream([chat_chunk("a"), asyncio.Event()]))
            host = _Opening(arrived := asyncio.Event(), resources=context(server).resources)
            async with running("ai-chat-completions", {**CONFIGURATION, **STREAMING}, host) as agent:
                asking = asyncio.ensure_future(results(agent, QUESTION))
                await arrived.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
        assert len(host.published) == 1

    asyncio.run(main())


def test_the_embedded_model_answers_where_there_is_no_key(models: None) -> None:
    async def main() -> None:
        host = TestContext()
        configuration = {**CONFIGURATION, **STREAMING, "max-tokens": 12, "log-field": "value.log"}
        question = Record('{"q":"What is the capital of France?"}', "k")
        async with running("ai-chat-completions", configuration, host) as agent:
            assert agent.info() == {"service": "embedded models", "model": "smollm2-135m-instruct"}
            (answered,) = await results(agent, question)
        value = json.loads(answered.value)
        assert "Paris" in value["answer"]
        assert json.loads(value["log"])["model"] == "smollm2-135m-instruct"
        assert "".join(chunk.value for _, chunk, _ in host.published) == value["answer"]
        assert [chunk.header("stream-index") for _, chunk, _ in host.published[:2]] == ["1", "2"]
        assert host.counted["openai_chat_completions_completions_tokens_total"] > 1

    asyncio.run(main())
