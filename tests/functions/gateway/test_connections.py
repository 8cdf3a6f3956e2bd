"""Connection events on the gateway's events-topic."""

from __future__ import annotations

import json

import websockets

from tidemill.functions.gateway.connections import definition
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec

WATCHED = GatewayPlan(
    id="talk",
    type="chat",
    questions_topic="questions",
    answers_topic="answers",
    headers=(HeaderSpec(key="s", from_parameter="session"),),
    events_topic="events",
)


async def test_coming_and_going_are_told(serving, client, refusal):
    async with serving(WATCHED) as run:
        await refusal(run.path("chat", "talk"))  # no handshake, no event
        url = run.path("chat", "talk", param__session="1", option__position="earliest")
        headers = {"X-Mine": "yes", "Authorization": "Bearer secret", "Cookie": "secret"}
        async with websockets.connect(url, additional_headers=headers):
            pass
        await run.app.drain()
        first, second = await run.records("events")
        assert (first.key, first.headers) == (None, ())
        event = json.loads(first.value)
        assert event["type"] == "ClientConnected"
        assert event["category"] == "Gateway"
        assert isinstance(event["timestamp"], int)
        assert event["source"] == {
            "tenant": "default",
            "applicationId": "myapp",
            "gateway": {
                "id": "talk",
                "type": "chat",
                "chat-options": {
                    "questions-topic": "questions",
                    "answers-topic": "answers",
                    "headers": [{"key": "s", "valueFromParameters": "session"}],
                },
                "events-topic": "events",
            },
        }
        assert event["data"]["userParameters"] == {"session": "1"}
        assert event["data"]["options"] == {"position": "earliest"}
        assert event["data"]["httpRequestHeaders"]["x-mine"] == "yes"
        assert "secret" not in first.value
        assert json.loads(second.value)["type"] == "ClientDisconnected"


async def test_an_events_topic_that_fails_does_not_end_the_session(serving, receive):
    async with serving(WATCHED) as run:
        await run.broker.delete_topic("answers")
        await run.broker.create_topic(run.broker.topics()["questions"].__class__("answers", 1))
        async with run.connect("chat", "talk", param__session="1") as socket:
            run.broker.broken = OSError("full")
            await socket.send('{"value":"v"}')
            assert (await receive(socket))["status"] == "PRODUCER_ERROR"


def test_definitions_have_the_names_of_gateways_yaml():
    header = HeaderSpec(key="k", value="v")
    assert definition(
        GatewayPlan(id="p", type="produce", topic="t", parameters=("x",), headers=(header,))
    ) == {
        "id": "p",
        "type": "produce",
        "topic": "t",
        "parameters": ["x"],
        "produceOptions": {"headers": [{"key": "k", "value": "v"}]},
    }
    assert definition(GatewayPlan(id="c", type="consume", topic="t", headers=(header,)))[
        "consumeOptions"
    ] == {"filters": {"headers": [{"key": "k", "value": "v"}]}}
    assert definition(GatewayPlan(id="s", type="service", agent_id="a")) == {
        "id": "s",
        "type": "service",
        "service-options": {"agent-id": "a", "headers": []},
    }
