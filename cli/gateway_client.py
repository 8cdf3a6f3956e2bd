"""A client of a gateway, for `tidemill gateway`: finds the run, checks a call, connects.

Everything that can be wrong with a call is said before a connection is opened: the gateway itself
tells which gateways there are and which parameters they take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from ..errors import NotFound, TidemillError, UsageError, nearest

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_EXIT_STATUS = {400: 2, 401: 4, 403: 4, 404: 3, 408: 6}


class Refused(TidemillError):
    """The gateway refused a call and said why."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.status = _EXIT_STATUS.get(code, 1)
        super().__init__(f"the gateway refused ({code}): {reason}")


class Unreachable(TidemillError):
    """Nobody answers where the gateway should be."""

    def __init__(self, url: str, why: object) -> None:
        self.url = url
        hint = "start the application with: tidemill run DIR; or name the gateway with --url"
        super().__init__(f"no gateway answers at {url}: {why}", hint=hint)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway, as `/management/gateways` lists it."""

    id: str
    type: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Door:
    """A running application's gateways, and where they are."""

    url: str
    tenant: str
    application: str
    gateways: tuple[Gateway, ...]
    timeout: float

    def find(self, type: str, id: str) -> Gateway:
        """The gateway of that type and id. Raises NotFound with the nearest name."""
        known = {gateway.id: gateway for gateway in self.gateways if gateway.type == type}
        if id not in known:
            raise NotFound(f"gateway of type {type}", id, known)
        return known[id]

    def path(self, gateway: Gateway, prefix: str) -> str:
        names = (gateway.type, self.tenant, self.application, gateway.id)
        return "/".join([prefix, *(quote(name, safe="") for name in names)])


def find_run(directory: Path) -> str:
    """The gateway's URL of the run whose application or state folder this is."""
    for report in (directory / ".tidemill" / "run.json", directory / "run.json"):
        if report.is_file():
            url: str = json.loads(report.read_text())["gateway"]["url"]
            return url
    raise TidemillError(
        f"no application runs from {directory.absolute()}: there is no .tidemill/run.json",
        hint="start it with: tidemill run DIR; or name a folder with -a, or the gateway with --url",
    )


def open_door(url: str, timeout: float) -> Door:
    """Ask a gateway what there is."""
    url = url.rstrip("/")
    found = json.loads(http(f"{url}/management/gateways", timeout))
    gateways = tuple(
        Gateway(each["id"], each["type"], tuple(each["parameters"])) for each in found["gateways"]
    )
    return Door(url, found["tenant"], found["application"], gateways, timeout)


def http(url: str, timeout: float, body: bytes | None = None) -> bytes:
    """A GET, or a POST of JSON. Raises Refused and Unreachable."""
    request = Request(url, data=body, headers={"content-type": "application/json"})
    opener = build_opener(ProxyHandler({})) if _is_local(url) else build_opener()
    try:
        with opener.open(request, timeout=timeout) as response:
            answer: bytes = response.read()
            return answer
    except HTTPError as error:
        with error:
            raise Refused(error.code, _reason(error.read())) from None
    except (OSError, ValueError) as error:
        raise Unreachable(url, error) from error


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _reason(body: bytes) -> str:
    """Why, from a problem or a produce answer; else the text as it is."""
    try:
        told = json.loads(body)
        return str(told.get("detail") or told.get("reason"))
    except (ValueError, AttributeError):
        return body.decode(errors="replace").strip() or "no reason given"


def pairs(entries: tuple[str, ...], option: str) -> dict[str, str]:
    """`k=v` texts as a mapping. Raises UsageError."""
    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise UsageError(f"'{entry}' is not of the form name=value", hint=f"{option} name=value")
        found[name] = value
    return found


def check_parameters(gateway: Gateway, given: Mapping[str, str]) -> None:
    """Raises UsageError for a parameter that is missing or that the gateway does not take."""
    for name in gateway.parameters:
        if not given.get(name, "").strip():
            raise UsageError(
                f"gateway {gateway.id} of type {gateway.type} requires parameter {name}",
                hint=f"-p {name}=VALUE",
            )
    for name in given:
        if name not in gateway.parameters:
            guess = nearest(name, gateway.parameters)
            hint = f"did you mean '{guess}'?" if guess else None
            raise UsageError(f"gateway {gateway.id} has no parameter {name}", hint=hint)


def query(parameters: Mapping[str, str], **others: str | None) -> str:
    """The query of a gateway's URL; `others` are left out when None, `_` stands for `-`."""
    named = {f"param:{name}": value for name, value in parameters.items()}
    named |= {name.replace("_", "-"): value for name, value in others.items() if value is not None}
    text = "&".join(f"{quote(name, safe=':')}={quote(value, safe='')}" for name, value in named.items())
    return f"?{text}" if text else ""


@contextmanager
def socket(door: Door, gateway: Gateway, query: str) -> Iterator[ClientConnection]:
    """A WebSocket connection. Raises Refused and Unreachable."""
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    url = "ws" + door.path(gateway, door.url.removeprefix("http") + "/v1") + query
    proxy: Literal[True] | None = None if _is_local(door.url) else True
    try:
        # A client that stops in the middle of many records need not wait for the closing handshake.
        connection = connect(url, open_timeout=door.timeout, close_timeout=0.5, max_size=None, proxy=proxy)
    except InvalidStatus as refused:
        raise Refused(refused.response.status_code, _reason(bytes(refused.response.body or b""))) from None
    except (OSError, InvalidHandshake) as error:
        raise Unreachable(door.url, error) from error
    with connection:
        yield connection


def receive(connection: ClientConnection) -> Any:
    """The next message. Raises TidemillError when the gateway closes."""
    from websockets.exceptions import ConnectionClosed

    try:
        return connection.recv()
    except ConnectionClosed as closed:
        said = f"{closed.rcvd.reason or 'no reason given'} ({closed.rcvd.code})" if closed.rcvd else "lost"
        raise TidemillError(f"the gateway closed the connection: {said}") from None
