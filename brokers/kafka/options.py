"""Java's client properties, as LangStream's instances name them, in kafka-python's words.

Called by the broker with `admin` of the instance. A property about security that Tidemill does not
know is an error: passing over it could open what was meant to be closed. Others get a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ...errors import ConfigurationError

_BOOTSTRAP_MS = 15_000  # until a cluster that does not answer is given up
_PLAIN = {
    "client.id": "client_id",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.key.password": "ssl_password",
    "ssl.cafile": "ssl_cafile",
    "ssl.certfile": "ssl_certfile",
    "ssl.keyfile": "ssl_keyfile",
}
_NUMBERS = {
    "request.timeout.ms": "request_timeout_ms",
    "retry.backoff.ms": "retry_backoff_ms",
    "reconnect.backoff.ms": "reconnect_backoff_ms",
    "reconnect.backoff.max.ms": "reconnect_backoff_max_ms",
    "metadata.max.age.ms": "metadata_max_age_ms",
    "connections.max.idle.ms": "connections_max_idle_ms",
}
_STORES = {
    "ssl.truststore.location": ("ssl_cafile",),
    "ssl.keystore.location": ("ssl_certfile", "ssl_keyfile"),
}
_READ_ELSEWHERE = frozenset(
    {
        "bootstrap.servers", "sasl.jaas.config", "ssl.endpoint.identification.algorithm",
        "ssl.truststore.type", "ssl.keystore.type", "sasl.oauthbearer.token.endpoint.url",
        "sasl.login.callback.handler.class",
    }
)  # fmt: skip
_PAIR = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Arguments of every client, and what was passed over."""

    arguments: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def client_options(properties: Mapping[str, Any]) -> ClientOptions:
    """Raises ConfigurationError."""
    servers = properties.get("bootstrap.servers")
    if not servers:
        raise ConfigurationError("the Kafka cluster has no 'bootstrap.servers' among its admin properties")
    listed = servers if isinstance(servers, list) else str(servers).split(",")
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in listed],
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "reconnect_backoff_max_ms": 1_000,
    }
    notes = []
    for name, value in properties.items():
        if name in _PLAIN:
            arguments[_PLAIN[name]] = str(value)
        elif name in _NUMBERS:
            arguments[_NUMBERS[name]] = int(value)
        elif name in _STORES:
            arguments.update((target, _pem(properties, name)) for target in _STORES[name])
        elif name.startswith(("ssl.", "sasl.", "security.")) and name not in _READ_ELSEWHERE:
            raise ConfigurationError(
                f"Tidemill does not know the security property '{name}' of Kafka clients"
            )
        elif name not in _READ_ELSEWHERE:
            notes.append(f"the Kafka property '{name}' has no meaning here and is passed over")
    if properties.get("ssl.endpoint.identification.algorithm") == "":
        arguments["ssl_check_hostname"] = False
    if "sasl.jaas.config" in properties:
        arguments.update(_login(properties))
    return ClientOptions(arguments, tuple(notes))


def _pem(properties: Mapping[str, Any], location: str) -> str:
    kind = str(properties.get(location.replace("location", "type"), "JKS"))
    if kind.upper() != "PEM":
        raise ConfigurationError(
            f"'{location}' is a store of type {kind}, which only Java reads: "
            f"write it as PEM, and '{location.replace('location', 'type')}: PEM'"
        )
    return str(properties[location])


def _login(properties: Mapping[str, Any]) -> dict[str, Any]:
    text = str(properties["sasl.jaas.config"])
    found = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _PAIR.findall(text)}
    if "OAuthBearerLoginModule" in text:
        return {"sasl_oauth_token_provider": _token_provider(properties, found)}
    if "PlainLoginModule" in text or "ScramLoginModule" in text:
        if "username" in found and "password" in found:
            return {"sasl_plain_username": found["username"], "sasl_plain_password": found["password"]}
        raise ConfigurationError("'sasl.jaas.config' names no username and password in double quotes")
    raise ConfigurationError(
        "'sasl.jaas.config' is for a login module other than Plain, Scram or OAuthBearer"
    )


def _token_provider(properties: Mapping[str, Any], login: Mapping[str, str]) -> Any:
    """The grant of client credentials, as Java's OAuthBearerLoginCallbackHandler asks for it."""
    from kafka.net.sasl.oauth import AbstractTokenProvider

    url = properties.get("sasl.oauthbearer.token.endpoint.url")
    if not url or "clientId" not in login or "clientSecret" not in login:
        raise ConfigurationError(
            "OAUTHBEARER needs 'sasl.oauthbearer.token.endpoint.url', and clientId and clientSecret in "
            "'sasl.jaas.config'"
        )

    class Provider(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
        def token(self) -> str:
            return fetch_token(str(url), login["clientId"], login["clientSecret"], login.get("scope"))

    return Provider()


def fetch_token(url: str, client: str, secret: str, scope: str | None) -> str:
    """A token of OAuth's client credentials grant."""
    import base64
    import json
    from urllib.request import Request, urlopen

    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    credentials = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = Request(url, urlencode(form).encode(), {"Authorization": f"Basic {credentials}"})
    with urlopen(request, timeout=20) as answer:
        return str(json.load(answer)["access_token"])
