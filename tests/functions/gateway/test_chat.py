"""Chat: the session of the specification, isolation, and the order of answers."""

from __future__ import annotations

import asyncio
import json

import pytest

from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec

OK = '{"status":"OK","reason":null}'


async def test_a_session_on_the_wire(serving, talk):
    async with (
        serving(talk) as run,
        run.connect("chat", "talk", param__sessionId="42", option__position="latest") as socket,
    ):
        await socket.send('{"value": "hello", "headers": {"lang": "en"}}')
        assert await socket.recv() == OK
        (question,) = await run.records("questions")
        assert question.value == "hello"
        assert question.key is None
        assert question.headers == (("lang", "en"), ("langstream-client-session-id", "42"))

        await run.write("answers", {"question": "hello!"}, lang="en", langstream_client_session_id="42")
        push = await socket.recv()
        expected = (
            r'{"record":{"key":null,"value":"{\"question\":\"hello!\"}",'
            r'"headers":{"lang":"en","langstream-client-session-id":"42"}},"offset":"eyJvZmZ'
        )
        assert push.startswith(expected)
        assert push.endswith('"}')

        await socket.send('{"value": "x", "headers": {"langstream-client-session-id": "7"}}')
        reason = "Header langstream-client-session-id is configured as parameter-level header."
        assert await socket.recv() == f'{{"status":"BAD_REQUEST","reason":"{reason}"}}'

        await socket.send("not json")
        answer = await socket.recv()
        assert answer.startswith('{"status":"BAD_REQUEST","reason":"Error while parsing JSON payload: ')

        await socket.send('{"key": "still open"}')
        assert await socket.recv() == OK


async def test_two_sessions_never_see_each_other(serving, talk, receive):
    async with (
        serving(talk) as run,
        run.connect("chat", "talk", param__sessionId="a") as a,
        run.connect("chat", "talk", param__sessionId="b") as b,
    ):
        for n in range(50):
            await run.write("answers", f"a{n}", langstream_client_session_id="a")
            await run.write("answers", f"b{n}", langstream_client_session_id="b")
            await run.write("answers", "nobody's", other="a")
        for socket, name in ((a, "a"), (b, "b")):
            got = [(await receive(socket))["record"]["value"] for _ in range(50)]
            assert sorted(got) == sorted(f"{name}{n}" for n in range(50))


async def test_the_acknowledgement_precedes_the_answer(serving, talk, receive):
    """The answer is on its topic before the broker says that the question is durable."""
    async with serving(talk) as run, run.connect("chat", "talk", param__sessionId="1") as socket:
        run.broker.publishing.clear()
        await socket.send('{"value": "q"}')
        await run.broker.hanging.wait()
        answering = asyncio.create_task(run.write("answers", "a", langstream_client_session_id="1"))
        while not await run.records("answers"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):  # nothing may come before the acknowledgement
            await asyncio.wait_for(socket.recv(), 0.05)
        run.broker.publishing.set()
        await answering
        assert await receive(socket) == {"status": "OK", "reason": None}
        assert (await receive(socket))["record"]["value"] == "a"


async def test_requests_are_answered_in_their_order(serving, talk, receive):
    async with serving(talk) as run, run.connect("chat", "talk", param__sessionId="1") as socket:
        for n in range(200):
            await socket.send(json.dumps({"key": "k", "value": str(n)}) if n % 3 else "bad")
        answers = [(await receive(socket))["status"] for _ in range(200)]
        assert answers == ["OK" if n % 3 else "BAD_REQUEST" for n in range(200)]
        assert [record.value for record in await run.records("questions")] == [
            str(n) for n in range(200) if n % 3
        ]


async def test_a_filter_without_a_value_matches_nothing(serving):
    """LangStream's rule: a header from an undeclared parameter filters everything out."""
    gateway = GatewayPlan(
        id="c", type="consume", topic="answers", headers=(HeaderSpec(key="h", from_parameter="x"),)
    )
    everything = GatewayPlan(id="all", type="consume", topic="answers")
    async with (
        serving(gateway, everything) as run,
        run.connect("consume", "c", option__position="earliest") as filtered,
        run.connect("consume", "all", option__position="earliest") as all_of_it,
    ):
        await run.write("answers", "1", h="")
        await run.write("answers", "2", h="x")
        await asyncio.wait_for(all_of_it.recv(), 5)
        await asyncio.wait_for(all_of_it.recv(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(filtered.recv(), 0.05)
