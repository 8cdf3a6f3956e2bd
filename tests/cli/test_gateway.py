"""`tidemill gateway` against a real gateway: what is printed where, and with which exit status."""

from __future__ import annotations

import asyncio
import io
import json
import threading

import pytest

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import TopicConfig
from tidemill.cli.main import main
from tidemill.functions.gateway.app import gateway_app
from tidemill.functions.gateway.server import GatewayServer
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec
from tidemill.record import Record, to_event, to_record

SESSION = (HeaderSpec(key="session", from_parameter="session"),)
GATEWAYS = (
    GatewayPlan(id="in", type="produce", topic="questions", parameters=("session",), headers=SESSION),
    GatewayPlan(id="out", type="consume", topic="answers", parameters=("session",), headers=SESSION),
    GatewayPlan(id="raw", type="produce", topic="notes"),
    GatewayPlan(id="notes", type="consume", topic="notes"),
    GatewayPlan(
        id="talk", type="chat", questions_topic="questions", answers_topic="answers", headers=SESSION
    ),
    GatewayPlan(id="ask", type="service", input_topic="questions", output_topic="answers"),
)


async def answer(broker: EmbeddedBroker) -> None:
    """An agent: 'stream …' is answered in parts, all else at once."""
    offset = 0
    while True:
        await broker.wait("questions", 0, offset)
        for stored in await broker.read("questions", 0, offset, 100):
            offset = stored.offset + 1
            record = to_record(stored.event())
            parts = record.value.split(" ")[1:] if record.value.startswith("stream") else [record.value + "!"]
            for n, part in enumerate(parts):
                last = str(n == len(parts) - 1).lower()
                streamed = {"stream-id": str(offset), "stream-last-message": last} if len(parts) > 1 else {}
                reply = Record(part, None, record.headers).with_headers(streamed)
                await broker.publish("answers", [to_event(reply, id=f"{offset}-{n}", source="/agent")])


@pytest.fixture
def url(tmp_path):
    """The gateway of an application called `shop`, with a run.json in `tmp_path`."""
    started, stop, urls = threading.Event(), threading.Event(), []

    async def run() -> None:
        broker = await EmbeddedBroker.open(tmp_path / ".tidemill" / "broker")
        for topic in ("questions", "answers", "notes"):
            await broker.create_topic(TopicConfig(topic, 1))
        gateway = gateway_app(broker, GATEWAYS, tenant="default", application="shop")
        server = GatewayServer(gateway, port=0)
        tasks = [asyncio.create_task(server.serve()), asyncio.create_task(answer(broker))]
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        urls.append(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        started.set()
        await asyncio.to_thread(stop.wait)
        server.should_exit = True
        await tasks[0]
        tasks[1].cancel()
        await broker.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(10)
    report = {"gateway": {"url": urls[0]}, "application": "shop", "tenant": "default", "pid": 1}
    (tmp_path / ".tidemill" / "run.json").write_text(json.dumps(report))
    yield urls[0]
    stop.set()
    thread.join(15)


@pytest.fixture
def cli(url, tmp_path, capsys):
    def call(*words: str) -> tuple[int, str, str]:
        status = main(["gateway", *words, "-a", str(tmp_path)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def test_list(cli, url):
    status, out, _ = cli("list")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["GATEWAY", "TYPE", "PARAMETERS", "URL"]
    ws = "ws" + url.removeprefix("http")
    assert lines[5] == ["talk", "chat", "session", f"{ws}/v1/chat/default/shop/talk"]
    assert lines[6] == ["ask", "service", "-", f"{url}/api/gateways/service/default/shop/ask"]
    status, out, _ = cli("list", "-o", "json")
    assert [each["id"] for each in json.loads(out)] == [gateway.id for gateway in GATEWAYS]


def test_produce_and_consume(cli):
    ok = '{"status":"OK","reason":null}\n'
    written = cli("produce", "shop", "raw", "-v", '{"a":1}', "-k", "k", "--header", "h=1=2", "--header", "i=")
    assert written == (0, ok, "")
    assert cli("produce", "raw", "-v", "second", "--protocol", "http") == (0, ok, "")
    status, out, err = cli("consume", "shop", "notes", "--position", "earliest", "-n", "2")
    assert status == 0
    assert err.startswith("Connected to ws://127.0.0.1:")
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["record"] == {"key": "k", "value": '{"a":1}', "headers": {"h": "1=2", "i": ""}}
    assert second["record"]["value"] == "second"
    cli("produce", "raw", "-v", "third")
    _, out, _ = cli("consume", "notes", "--position", first["offset"], "-n", "2")
    assert [json.loads(line)["record"]["value"] for line in out.splitlines()] == ["second", "third"]


def test_what_the_gateway_does_not_accept(cli):
    for protocol in ("ws", "http"):
        status, out, err = cli("produce", "raw", "--protocol", protocol)
        assert status in (1, 2)
        assert "Either key or value must be set." in err
        assert out == (
            '{"status":"BAD_REQUEST","reason":"Either key or value must be set."}\n'
            if protocol == "ws"
            else ""
        )
    status, _, err = cli("consume", "notes", "--position", "nonsense")
    assert status == 2
    assert "offset token" in err


def test_wrong_calls(cli, tmp_path):
    cases = [
        (("produce", "rw", "-v", "x"), 3, "did you mean 'raw'?"),
        (("produce", "notes", "-v", "x"), 3, "gateway of type produce 'notes' does not exist"),
        (("produce", "other", "raw", "-v", "x"), 3, "application 'other' does not exist; there are: shop"),
        (("produce", "in", "-v", "x"), 2, "gateway in of type produce requires parameter session"),
        (("produce", "in", "-v", "x", "-p", "session=1", "-p", "sesion=2"), 2, "did you mean 'session'?"),
        (("produce", "in", "-v", "x", "-p", "session"), 2, "not of the form name=value"),
        (("produce", "raw", "-v", "x", "-c", "a", "-tc", "b"), 2, "cannot be used together"),
        (("produce", "-v", "x"), 2, "expected [APP] GATEWAY"),
        (("consume", "a", "b", "c"), 2, "expected [APP] GATEWAY"),
        (("chat",), 2, "name either a chat gateway or a pair"),
        (("chat", "-g", "talk", "-cg", "out", "-pg", "in"), 2, "name either a chat gateway or a pair"),
        (("chat", "-cg", "out", "-pg", "in"), 2, "requires parameter session"),
    ]
    for words, expected, text in cases:
        status, out, err = cli(*words)
        assert (status, out) == (expected, ""), words
        assert text in err


def test_no_run(tmp_path, capsys):
    assert main(["gateway", "list", "-a", str(tmp_path)]) == 1
    assert "no application runs from" in capsys.readouterr().err
    assert main(["gateway", "list", "--url", "http://127.0.0.1:1"]) == 1
    assert "no gateway answers at http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("way", [("-g", "talk"), ("shop", "-cg", "out", "-pg", "in", "-p", "session=7")])
def test_chat(cli, monkeypatch, way):
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\nstream a b c\nbye\n"))
    status, out, err = cli("chat", *way)
    assert (status, out) == (0, "hello!\nabc\nbye!\n")
    assert err == "✅\nServer:\n" * 3


def test_a_terminal_is_prompted(cli, monkeypatch):
    questions = io.StringIO("hello\n")
    questions.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", questions)
    status, out, err = cli("chat", "-g", "talk")
    assert (status, out, err) == (0, "hello!\n", "You:\n> ✅\nServer:\nYou:\n> ")
