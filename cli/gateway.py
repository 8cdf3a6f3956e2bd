"""`tidemill gateway`: use an application's gateways from the terminal.

The arguments are LangStream's; the application's id may be left out, since a run has only one. stdout
holds what the gateway sent, stderr everything else.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import NotFound, TidemillError, UsageError
from . import gateway_client as client

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

app = App(name="gateway", help="List and use an application's gateways.")


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which run."""

    application: Annotated[Path, Parameter(["--application", "-a"], help="the application's folder")] = Path(
        "."
    )
    url: Annotated[str | None, Parameter("--url", help="the gateway's URL, instead of a folder")] = None
    connect_timeout: Annotated[float, Parameter("--connect-timeout", help="seconds")] = 30.0

    def door(self, application: str | None = None) -> client.Door:
        """The run's gateways; its id must be `application`, where one was given."""
        door = client.open_door(self.url or client.find_run(self.application), self.connect_timeout)
        if application not in (None, door.application):
            raise NotFound("application", str(application), [door.application])
        return door


@Parameter(name="*")
@dataclass(frozen=True)
class Who:
    """What a client shows at the door."""

    param: Annotated[
        tuple[str, ...],
        Parameter(["--param", "-p"], negative="", help="name=value of a parameter, repeatable"),
    ] = ()
    credentials: Annotated[str | None, Parameter(["--credentials", "-c"])] = None
    test_credentials: Annotated[str | None, Parameter(["--test-credentials", "-tc"])] = None

    def parameters(self) -> dict[str, str]:
        return client.pairs(self.param, "-p")

    def query(self, parameters: Mapping[str, str], **options: str | None) -> str:
        shown = {"credentials": self.credentials, "test_credentials": self.test_credentials}
        return client.query(parameters, **options, **shown)


_HERE, _NOBODY = Where(), Who()
Names = Annotated[str, Parameter(help="the application's id (may be left out) and the gateway's id")]


def _split(names: tuple[str, ...]) -> tuple[str | None, str]:
    if len(names) not in (1, 2):
        raise UsageError(f"expected [APP] GATEWAY, got {len(names)} names", hint="tidemill gateway list")
    return (names[0] if len(names) == 2 else None), names[-1]


@app.command(name="list")
def list_gateways(
    *,
    where: Where = _HERE,
    output: Annotated[Literal["text", "json"], Parameter(["--output", "-o"])] = "text",
) -> None:
    """List the gateways of the application that runs."""
    door = where.door()
    rows: list[dict[str, Any]] = [
        {"id": each.id, "type": each.type, "parameters": list(each.parameters), "url": _address(door, each)}
        for each in door.gateways
    ]
    if output == "json":
        print(json.dumps(rows))
        return
    lines = [("GATEWAY", "TYPE", "PARAMETERS", "URL")]
    lines += [(each["id"], each["type"], ",".join(each["parameters"]) or "-", each["url"]) for each in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _address(door: client.Door, gateway: client.Gateway) -> str:
    if gateway.type == "service":
        return door.path(gateway, door.url + "/api/gateways")
    return door.path(gateway, "ws" + door.url.removeprefix("http") + "/v1")


@app.command(usage="tidemill gateway produce [APP] GATEWAY [OPTIONS]")
def produce(
    *names: Names,
    value: Annotated[str | None, Parameter(["--value", "-v"], help="the record's value")] = None,
    key: Annotated[str | None, Parameter(["--key", "-k"], help="the record's key")] = None,
    header: Annotated[
        tuple[str, ...], Parameter(["--header"], negative="", help="name=value, repeatable")
    ] = (),
    protocol: Annotated[Literal["ws", "http"], Parameter(["--protocol"])] = "ws",
    where: Where = _HERE,
    who: Who = _NOBODY,
) -> None:
    """Send one record, and print the gateway's answer."""
    application, id = _split(names)
    request = {"key": key, "value": value, "headers": client.pairs(header, "--header")}
    body = json.dumps({name: part for name, part in request.items() if part is not None})
    door = where.door(application)
    gateway = door.find("produce", id)
    parameters = who.parameters()
    client.check_parameters(gateway, parameters)
    query = who.query(parameters)
    if protocol == "http":
        url = door.path(gateway, door.url + "/api/gateways") + query
        answer = client.http(url, door.timeout, body.encode()).decode()
    else:
        with client.socket(door, gateway, query) as connection:
            connection.send(body)
            answer = client.receive(connection)
    print(answer)
    _accepted(json.loads(answer))


def _accepted(answer: Mapping[str, Any]) -> None:
    if answer["status"] != "OK":
        raise TidemillError(f"the record was not accepted: {answer['reason']}")


@app.command(usage="tidemill gateway consume [APP] GATEWAY [OPTIONS]")
def consume(
    *names: Names,
    position: Annotated[str | None, Parameter(["--position"], help="latest, earliest or an offset")] = None,
    num_messages: Annotated[int, Parameter(["--num-messages", "-n"], help="0: until Ctrl-C")] = 0,
    where: Where = _HERE,
    who: Who = _NOBODY,
) -> None:
    """Print records as they come, one JSON object per line."""
    application, id = _split(names)
    door = where.door(application)
    gateway = door.find("consume", id)
    parameters = who.parameters()
    client.check_parameters(gateway, parameters)
    query = who.query(parameters, **{"option:position": position})
    with client.socket(door, gateway, query) as connection:
        _tell(f"Connected to {_address(door, gateway)}")
        taken = 0
        while num_messages <= 0 or taken < num_messages:
            print(client.receive(connection), flush=True)
            taken += 1


@app.command(usage="tidemill gateway chat [APP] (-g GATEWAY | -cg CONSUME -pg PRODUCE) [OPTIONS]")
def chat(
    app: Annotated[str | None, Parameter(help="the application's id (may be left out)")] = None,
    /,
    *,
    chat_gateway: Annotated[
        str | None, Parameter(["--chat-gateway", "-g"], help="a gateway of type chat")
    ] = None,
    consume_gateway: Annotated[
        str | None, Parameter(["--consume-gateway", "-cg"], help="answers come here")
    ] = None,
    produce_gateway: Annotated[
        str | None, Parameter(["--produce-gateway", "-pg"], help="questions go here")
    ] = None,
    where: Where = _HERE,
    who: Who = _NOBODY,
) -> None:
    """Ask questions, one per line, and read the answers. Without a terminal, stdin is the questions."""
    door = where.door(app)
    given = who.parameters()
    with ExitStack() as stack:
        if chat_gateway and not consume_gateway and not produce_gateway:
            gateway = door.find("chat", chat_gateway)
            given = {**{name: str(uuid.uuid4()) for name in gateway.parameters}, **given}
            client.check_parameters(gateway, given)
            both = stack.enter_context(client.socket(door, gateway, who.query(given)))
            talk = Conversation(both, both)
        elif consume_gateway and produce_gateway and not chat_gateway:
            gateways = door.find("consume", consume_gateway), door.find("produce", produce_gateway)
            answers, questions = (
                stack.enter_context(client.socket(door, each, who.query(_own(each, given, gateways))))
                for each in gateways
            )
            talk = Conversation(questions, answers)
        else:
            raise UsageError(
                "name either a chat gateway or a pair", hint="-g GATEWAY, or -cg GATEWAY -pg GATEWAY"
            )
        for question in _questions():
            _ask(talk, question)


def _own(
    gateway: client.Gateway, given: Mapping[str, str], all: tuple[client.Gateway, ...]
) -> dict[str, str]:
    """The parameters that are this gateway's; one that is nobody's is an error."""
    others = {name for each in all for name in each.parameters} - set(gateway.parameters)
    own = {name: value for name, value in given.items() if name not in others}
    client.check_parameters(gateway, own)
    return own


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where questions go and where answers come from: one connection, or two."""

    questions: ClientConnection
    answers: ClientConnection
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, question: str) -> dict[str, Any]:
        """Send a question; the gateway's acknowledgement."""
        self.questions.send(json.dumps({"value": question}))
        while True:
            message: dict[str, Any] = json.loads(client.receive(self.questions))
            if "status" in message:
                return message
            self.waiting.append(message)

    def answer(self) -> Iterator[str]:
        """The parts of the next answer."""
        while True:
            message = self.waiting.pop(0) if self.waiting else json.loads(client.receive(self.answers))
            record = message["record"]
            yield record["value"] or ""
            headers = record["headers"]
            if "stream-id" not in headers or headers.get("stream-last-message") == "true":
                return


def _ask(talk: Conversation, question: str) -> None:
    acknowledged = talk.ask(question)
    if acknowledged["status"] != "OK":
        _tell(f"not accepted: {acknowledged['reason']}")
        return
    _tell("✅")
    _tell("Server:")
    for part in talk.answer():
        print(part, end="", flush=True)
    print(flush=True)


def _questions() -> Iterator[str]:
    asked = sys.stdin.isatty()
    while True:
        if asked:
            print("You:\n> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
