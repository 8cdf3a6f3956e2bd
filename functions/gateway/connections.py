"""Connection events: who came to a gateway and who left (`events-topic`).

Written by `app.py` after a handshake and at the close. The definition in the event has LangStream's
names. Headers that carry credentials are left out: a topic is no place for them.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from typing import Any

from ...brokers.protocol import Broker
from ...record import Record, to_event, topic_form
from .handshake import Admission, Directory
from .spec import GatewayPlan, HeaderSpec

log = logging.getLogger(__name__)

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

RawHeaders = Iterable[tuple[bytes, bytes]]


async def tell(
    broker: Broker, directory: Directory, admission: Admission, headers: RawHeaders, type: str
) -> None:
    """Write a connection event, where the gateway asks for them. A failure is logged: it does not
    end the client's session."""
    topic = admission.gateway.events_topic
    if topic is None:
        return
    now = int(time.time() * 1000)
    value = _event(directory, admission, headers, type, now)
    source = f"/{directory.tenant}/{directory.application}/gateways/{admission.gateway.id}"
    try:
        event = to_event(Record(topic_form(value), timestamp=now), id=uuid.uuid4().hex, source=source)
        await broker.publish(topic, [event])
    except Exception:
        log.exception("the connection event of gateway %s cannot be written", admission.gateway.id)


def _event(
    directory: Directory, admission: Admission, headers: RawHeaders, type: str, now: int
) -> dict[str, Any]:
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return {
        "category": "Gateway",
        "type": type,
        "timestamp": now,
        "source": {
            "tenant": directory.tenant,
            "applicationId": directory.application,
            "gateway": definition(admission.gateway),
        },
        "data": {
            "userParameters": dict(admission.parameters),
            "options": dict(admission.options),
            "httpRequestHeaders": {n: v for n, v in named.items() if n.lower() not in _SECRET_HEADERS},
        },
    }


def definition(gateway: GatewayPlan) -> dict[str, Any]:
    """A gateway as gateways.yaml has it; only what is set."""
    headers = [_header(header) for header in gateway.headers]
    options: dict[str, Any] = {}
    if gateway.type == "produce":
        options["produceOptions"] = {"headers": headers} if headers else None
    elif gateway.type == "consume":
        options["consumeOptions"] = {"filters": {"headers": headers}} if headers else None
    elif gateway.type == "chat":
        topics = {"questions-topic": gateway.questions_topic, "answers-topic": gateway.answers_topic}
        options["chat-options"] = {**topics, "headers": headers}
    else:
        topics = {"input-topic": gateway.input_topic, "output-topic": gateway.output_topic}
        target = {"agent-id": gateway.agent_id} if gateway.agent_id else topics
        options["service-options"] = {**target, "headers": headers}
    named = {
        "id": gateway.id,
        "type": gateway.type,
        "topic": gateway.topic,
        "parameters": list(gateway.parameters) or None,
        **options,
        "events-topic": gateway.events_topic,
    }
    return {name: value for name, value in named.items() if value is not None}


def _header(header: HeaderSpec) -> dict[str, str]:
    named = {
        "key": header.key,
        "value": header.value,
        "valueFromParameters": header.from_parameter,
        "valueFromAuthentication": header.from_authentication,
    }
    return {name: value for name, value in named.items() if value is not None}
