"""Who may use which gateway, and how: the checks before anything is read or written.

`admit` is called for every WebSocket handshake and every HTTP request. What it lets through is
complete: all parameters are there, and every header that the gateway sets has a value. Texts are
LangStream's, since clients show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from .limits import Limits
from .problems import Refusal
from .spec import GatewayPlan, HeaderSpec

CREDENTIALS = ("credentials", "test-credentials")

Filter = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """The gateways of one application, by type and id."""

    tenant: str
    application: str
    gateways: Sequence[GatewayPlan]

    def find(self, type: str, tenant: str, application: str, id: str) -> GatewayPlan:
        """The gateway at an address. Raises Refusal."""
        if (tenant, application) != (self.tenant, self.application):
            raise Refusal(400, f"application {application} not found")
        if not self.gateways:
            raise Refusal(400, "no gateways defined for the application")
        for gateway in self.gateways:
            if (gateway.type, gateway.id) == (type, id):
                return gateway
        raise Refusal(400, f"gateway {id} of type {type} is not defined in the application")


@dataclass(frozen=True, slots=True)
class Admission:
    """A client that may use a gateway, with what it asked for."""

    gateway: GatewayPlan
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def position(self) -> str:
        return self.options.get("position", "latest")

    def filter(self) -> Filter:
        """Headers that a record must have; an entry without value matches nothing."""
        return tuple((header.key, self._value(header)) for header in self.gateway.headers)

    def headers(self) -> dict[str, str]:
        """Headers that the gateway puts on records. Raises ValueError where one has no value."""
        found = {header.key: self._value(header) for header in self.gateway.headers}
        for key, value in found.items():
            if not value:
                raise ValueError(f"header {key} cannot be empty")
        return {key: value for key, value in found.items() if value}

    def _value(self, header: HeaderSpec) -> str | None:
        if header.from_parameter is not None:
            return self.parameters.get(header.from_parameter)
        return header.value


def admit(gateway: GatewayPlan, query: bytes, limits: Limits) -> Admission:
    """Check a query against a gateway. Raises ValueError with the reason."""
    parameters: dict[str, str] = {}
    options: dict[str, str] = {}
    credentials: dict[str, str] = {}
    for name, value in _pairs(query, limits):
        if name.startswith("param:"):
            parameters.setdefault(name[6:], value)
        elif name.startswith("option:"):
            options.setdefault(name[7:], value)
        elif name in CREDENTIALS:
            credentials.setdefault(name, value)
        else:
            raise ValueError(
                f"invalid query parameter {name}. To specify a gateway parameter, use the format "
                "param:<parameter_name>. To specify an option, use the format option:<option_name>."
            )
    if len(credentials) == 2:
        raise ValueError("credentials and test-credentials cannot be used together")
    _check_options(gateway, options)
    _check_parameters(required_parameters(gateway), parameters)
    return Admission(gateway, parameters, options)


def _pairs(query: bytes, limits: Limits) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=limits.parameters)
    except UnicodeError as error:
        raise ValueError("the query is not text in UTF-8") from error
    except ValueError as error:
        raise ValueError(f"the query has more than {limits.parameters} parameters") from error


def required_parameters(gateway: GatewayPlan) -> tuple[str, ...]:
    """What a client must give, in the order of declaration."""
    if gateway.type == "service":
        return ()
    names = list(gateway.parameters)
    if gateway.type == "chat":
        names += [header.from_parameter for header in gateway.headers if header.from_parameter]
    return tuple(dict.fromkeys(names))


def _check_options(gateway: GatewayPlan, options: Mapping[str, str]) -> None:
    allowed = ("position",) if gateway.type in ("consume", "chat") else ()
    for name, value in options.items():
        if name not in allowed:
            raise ValueError(f"Unknown option {name}")
        if not value.strip():
            raise ValueError(f"'{name}' cannot be blank")


def _check_parameters(required: Sequence[str], given: Mapping[str, str]) -> None:
    for name in required:
        if not given.get(name, "").strip():
            raise ValueError(
                f"missing required parameter {name}. Required parameters: [{', '.join(required)}]"
            )
    unknown = [name for name in given if name not in required]
    if unknown:
        raise ValueError(f"unknown parameters: [{', '.join(unknown)}]")
