"""AI agents in the real host: ids of what they write, and batches of what is in flight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.openai_server import StandIn, chat_stream, serving

from tidemill.functions.environment import Environment
from tidemill.functions.host import Host
from tidemill.functions.outcome import Done, Result
from tidemill.functions.unit import AgentSpec, ResourceSpec, UnitSpec
from tidemill.record import Event, Record, to_event


class Published:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        self.events.extend(events)


def unit(server: StandIn, kind: str, configuration: dict[str, Any]) -> UnitSpec:
    service = {"access-key": "k", "url": server.url}
    return UnitSpec(
        id="unit",
        kind="processor",
        agents=(AgentSpec(id="agent", type=kind, configuration=configuration),),
        output="out",
        services={"s": ResourceSpec(id="s", type="open-ai-configuration", configuration=service)},
        topics=("out", "answers"),
    )


async def handle(host: Host, *events: Event) -> list[Result]:
    """All at once, as a dispatcher's frame gives them."""
    given = [host.handle(event, "in", None) for event in events]
    return [await result if asyncio.isfuture(result) else result for result in given]


def question(number: int, key: str | None) -> Event:
    return to_event(Record(json.dumps({"text": "x" * number}), key), id=f"q{number}", source="/test")


def test_an_answer_that_is_given_again_repeats_its_ids_and_another_does_not() -> None:
    configuration = {
        "model": "m",
        "messages": [{"content": "{{value.text}}"}],
        "completion-field": "value.answer",
        "stream-to-topic": "answers",
    }

    async def main() -> None:
        async with serving() as server:
            published = Published()
            host = Host(unit(server, "ai-chat-completions", configuration), Environment(Path()), published)
            await host.start()
            ids = []
            for identity in ("a", "a", "b"):
                server.will(chat_stream("x", "y", "z", identity=identity))
                (result,) = await handle(host, question(1, None))
                assert isinstance(result, Done)
                ids.append([event.id for event in published.events])
                assert {event.partition_key for event in published.events} == {identity}
                published.events.clear()
            await host.close()
        assert len(set(ids[0])) == 3
        assert ids[0] == ids[1]
        assert not set(ids[0]) & set(ids[2])

    asyncio.run(main())


def test_records_that_arrive_together_are_embedded_together() -> None:
    """Long before the flush interval is over: the batch holds all that the unit has."""
    configuration = {
        "text": "{{value.text}}",
        "embeddings-field": "value.vector",
        "flush-interval": 3_600_000,
        "concurrency": 1,
    }

    async def main() -> None:
        async with serving() as server:
            host = Host(
                unit(server, "compute-ai-embeddings", configuration), Environment(Path()), Published()
            )
            await host.start()
            ended = await handle(host, *(question(n, f"k{n}") for n in range(1, 8)))
            await host.close()
        assert all(isinstance(result, Done) for result in ended)
        assert [len(request.body["input"]) for request in server.requests] == [7]

    asyncio.run(asyncio.wait_for(main(), 60))
