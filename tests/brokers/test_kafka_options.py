"""Java's client properties in kafka-python's words."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tidemill.brokers.kafka.options import client_options, fetch_token
from tidemill.errors import ConfigurationError

SERVERS = {"bootstrap.servers": "a:9092, b:9092"}
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def test_servers_and_numbers() -> None:
    options = client_options({**SERVERS, "request.timeout.ms": "4000", "client.id": "shop"})
    assert options.arguments["bootstrap_servers"] == ["a:9092", "b:9092"]
    assert options.arguments["request_timeout_ms"] == 4000
    assert options.arguments["client_id"] == "shop"


def test_a_login_with_escapes() -> None:
    login = f'{_PLAIN} required username="alice" password="a\\"b\\\\c" ;'
    options = client_options(
        {**SERVERS, "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": login}
    )
    assert options.arguments["security_protocol"] == "SASL_SSL"
    assert options.arguments["sasl_plain_username"] == "alice"
    assert options.arguments["sasl_plain_password"] == 'a"b\\c'


def test_stores_in_pem() -> None:
    options = client_options(
        {
            **SERVERS,
            "ssl.truststore.location": "/ca.pem",
            "ssl.truststore.type": "PEM",
            "ssl.keystore.location": "/me.pem",
            "ssl.keystore.type": "PEM",
            "ssl.endpoint.identification.algorithm": "",
        }
    )
    assert options.arguments["ssl_cafile"] == "/ca.pem"
    assert options.arguments["ssl_certfile"] == options.arguments["ssl_keyfile"] == "/me.pem"
    assert options.arguments["ssl_check_hostname"] is False


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({}, "bootstrap.servers"),
        ({**SERVERS, "ssl.truststore.location": "/t.jks"}, "only Java reads"),
        ({**SERVERS, "ssl.provider": "x"}, "security property 'ssl.provider'"),
        ({**SERVERS, "sasl.jaas.config": f"{_PLAIN} required;"}, "username and password"),
        ({**SERVERS, "sasl.jaas.config": "com.sun.Krb5LoginModule required;"}, "other than"),
        ({**SERVERS, "sasl.jaas.config": "x.OAuthBearerLoginModule required;"}, "token.endpoint"),
    ],
)
def test_what_cannot_be_kept_is_an_error(properties: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        client_options(properties)


def test_what_has_no_meaning_is_noted() -> None:
    [note] = client_options({**SERVERS, "linger.ms": 5}).notes
    assert "linger.ms" in note


def test_a_token_of_the_client_credentials_grant() -> None:
    asked: list[Any] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.headers["authorization"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"access_token": "t0ken"}).encode())

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.handle_request, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/token"
    assert fetch_token(url, "me", "hush", "kafka") == "t0ken"
    server.server_close()
    assert asked == [("Basic bWU6aHVzaA==", b"grant_type=client_credentials&scope=kafka")]
