"""Consume: positions, tokens, hand-over between catch-up and tail, slow consumers."""

from __future__ import annotations

import asyncio
import base64
import json

from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec
from tidemill.record import Record, to_event

ALL = GatewayPlan(id="all", type="consume", topic="answers")
ODD = GatewayPlan(id="odd", type="consume", topic="answers", headers=(HeaderSpec(key="parity", value="odd"),))


async def take(receive, socket, count: int) -> list[str]:
    return [(await receive(socket))["record"]["value"] for _ in range(count)]


async def test_a_thousand_records_from_earliest(serving, receive):
    async with serving(ALL) as run:
        await run.write("answers", *(str(n) for n in range(1000)))
        async with run.connect("consume", "all", option__position="earliest") as socket:
            await run.write("answers", "live")
            got = await take(receive, socket, 1001)
        assert sorted(got) == sorted([*(str(n) for n in range(1000)), "live"])


async def test_a_token_resumes_with_exactly_the_rest(serving, receive):
    async with serving(ALL, ODD) as run:
        for n in range(0, 150, 2):
            await run.write("answers", str(n), parity="even")
            await run.write("answers", str(n + 1), parity="odd")
        async with run.connect("consume", "all", option__position="earliest") as socket:
            pushes = [await receive(socket) for _ in range(150)]
        values = [push["record"]["value"] for push in pushes]
        assert sorted(map(int, values)) == list(range(150))
        for at in (0, 1, 57, 148):
            async with run.connect("consume", "all", option__position=pushes[at]["offset"]) as socket:
                assert sorted(await take(receive, socket, 149 - at)) == sorted(values[at + 1 :])
        # A token of one gateway is good on another one of the topic.
        async with run.connect("consume", "odd", option__position=pushes[74]["offset"]) as socket:
            rest = [value for value in values[75:] if int(value) % 2]
            assert sorted(await take(receive, socket, len(rest))) == sorted(rest)


async def test_a_token_of_a_latest_reader_loses_nothing_while_away(serving, receive):
    """A partition from which nothing was delivered resumes where the reader began."""
    async with serving(ALL) as run:
        await run.write("answers", "old 1", "old 2", "old 3")
        async with run.connect("consume", "all") as socket:
            await run.write("answers", "seen")
            token = (await receive(socket))["offset"]
        await run.write("answers", "1", "2", "3", "4")
        async with run.connect("consume", "all", option__position=token) as socket:
            assert sorted(await take(receive, socket, 4)) == ["1", "2", "3", "4"]


def encoded(document: bytes) -> str:
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


BAD_TOKENS = [
    "nonsense", "%%%", "äöü", "e30", encoded(b"[]"), encoded(b"\xff\xfe"), encoded(b'{"version":2}'),
    *(
        encoded(json.dumps({"offsets": offsets, "topic": topic, "version": 1}).encode())
        for offsets, topic in (
            ({"0": 1}, "questions"), ({"0": -1}, "answers"), ({"0": 2**70}, "answers"), ({"0": 5}, "answers"),
            ({"7": 0}, "answers"), ({"x": 0}, "answers"), ({"0": "1"}, "answers"), ([1], "answers"),
        )
    ),
]  # fmt: skip


async def test_bad_tokens_are_refused(serving, refusal):
    async with serving(ALL) as run:
        for token in BAD_TOKENS:
            status, problem = await refusal(run.path("consume", "all", option__position=token))
            assert status == 400, token
            assert problem["detail"].startswith("Error for gateway all (tenant: default, appId: myapp): ")
            assert "token" in problem["detail"]


async def test_latest_is_fixed_before_the_handshake_completes(serving, receive):
    """Whatever is written once `connect` has returned is seen, and nothing from before it began."""
    async with serving(ALL) as run:
        for n in range(30):
            await run.write("answers", f"before {n}")
            async with run.connect("consume", "all") as socket:
                await run.write("answers", f"after {n}")
                assert await take(receive, socket, 1) == [f"after {n}"]


async def test_connecting_in_a_stream_of_writes_gives_one_piece_without_gap(serving, receive):
    """Readers that come while records arrive: each sees the end of its partition, in order, once."""
    async with serving(ALL, topics={"answers": 1}) as run:
        stop = asyncio.Event()

        async def write() -> None:
            n = 0
            while not stop.is_set():
                await run.write("answers", str(n))
                n += 1
                await asyncio.sleep(0.0001)

        writing = asyncio.create_task(write())
        for position in ("latest", "earliest") * 4:
            async with run.connect("consume", "all", option__position=position) as socket:
                got = [int(value) for value in await take(receive, socket, 25)]
                assert got == list(range(got[0], got[0] + 25))
                assert position == "latest" or got[0] == 0
        stop.set()
        await writing


async def test_a_slow_client_loses_nothing_and_holds_little(serving, receive):
    limits = Limits(queue=10, read=5)
    async with serving(ALL, limits=limits, topics={"answers": 2}) as run:
        async with (
            run.connect("consume", "all", reads_ahead=4) as slow,
            run.connect("consume", "all") as fast,
        ):
            tail = run.app._tails._tails["answers"]
            subscriptions = [s for group in tail._groups.values() for s in group]
            fell_behind = False
            text = "x" * 20_000  # more in all than the sockets' buffers take
            for start in range(0, 600, 10):
                await run.write("answers", *(f"{n} {text}" for n in range(start, start + 10)))
                await take(receive, fast, 10)
                assert all(len(s._queue) <= limits.queue for s in subscriptions)
                fell_behind = fell_behind or any(s._behind for s in subscriptions)
            assert fell_behind
            got = [int(value.split()[0]) for value in await take(receive, slow, 600)]
        assert sorted(got) == list(range(600))
        for parity in (0, 1):  # the broker deals records without key out in turn
            mine = [n for n in got if n % 2 == parity]
            assert mine == sorted(mine)


async def test_what_retention_removed_is_passed_over(serving, receive):
    async with serving(ALL, topics={"answers": 1}, config={"retention.bytes": "0"}) as run:
        await run.write("answers", "1", "2", "3", "4")
        async with run.connect("consume", "all", option__position="earliest") as socket:
            token = (await receive(socket))["offset"]
        while run.broker.bounds("answers")[0][0] < 4:
            await run.broker.maintain()
        async with run.connect("consume", "all", option__position=token) as socket:
            await run.write("answers", "5")
            assert await take(receive, socket, 1) == ["5"]


async def test_values_and_headers_are_text(serving, receive):
    cases = [
        ("text", "text"),
        ("", ""),
        (None, None),
        (b"bytes", "bytes"),
        (b"\xff\x00", base64.b64encode(b"\xff\x00").decode()),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        (5, "5"),
        (True, "true"),
    ]
    async with serving(ALL, topics={"answers": 1}) as run, run.connect("consume", "all") as socket:
        for n, (value, expected) in enumerate(cases):
            record = Record(value, {"k": n}, (("h", value), ("h", "second"), ("X y", "z")))
            await run.broker.publish("answers", [to_event(record, id=f"v{n}", source="/t")])
            push = await receive(socket)
            assert push["record"] == {
                "key": {"k": n},
                "value": expected,
                "headers": {"h": expected, "X y": "z"},
            }


async def test_what_is_no_record_does_not_stop_the_tail(serving, receive):
    async with serving(ALL, topics={"answers": 1}) as run, run.connect("consume", "all") as socket:
        event = to_event(Record("x"), id="1", source="/t")
        event.attributes["tidemillvalue"] = "9?"
        await run.broker.publish("answers", [event])
        await run.write("answers", "next")
        assert await take(receive, socket, 1) == ["next"]


async def test_a_topic_that_cannot_be_read_closes_with_1011(serving):
    async with serving(ALL) as run:
        async with run.connect("consume", "all") as socket:
            run.broker.broken = OSError("disk")
            await run.write("answers", "wakes the tail")
            await socket.wait_closed()
            assert socket.close_code == 1011
        run.broker.broken = None
        async with run.connect("consume", "all") as socket:
            await run.write("answers", "back")
            assert json.loads(await socket.recv())["record"]["value"] == "back"


async def test_messages_of_a_consumer_are_ignored(serving, receive):
    async with serving(ALL) as run, run.connect("consume", "all") as socket:
        await socket.send("hello")
        await socket.send(b"\x00")
        await run.write("answers", "1")
        assert await take(receive, socket, 1) == ["1"]
