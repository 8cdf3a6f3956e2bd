"""A program on the `cloudevents` package, line 1.12 or 2.x: the other side of test_interop.py.

Reads one JSON object per line and answers with another. {"headers", "body"} is an event on the
wire: the SDK parses it. {"attributes", "data"} is one that a program makes. Either way the answer
holds what the SDK has then, and its binary and structured forms. Runs in an environment of its own.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any


def line_1(request: dict[str, Any]) -> tuple[Any, list[tuple[Any, Any]]]:
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent, from_http

    # This line parses and writes every datum as JSON unless it is told how: programs that carry
    # anything else pass functions of their own, as these are.
    def read(content: Any) -> Any:
        return json.loads(content) if isinstance(content, str) and content else content or None

    if "body" in request:
        event = from_http(request["headers"], decoded(request["body"]), data_unmarshaller=read)
    else:
        event = CloudEvent(request["attributes"], data_of(request["data"]))
    is_json = "json" in event.get("datacontenttype", "json")

    def write(data: Any) -> Any:
        if data is None or isinstance(data, bytes):
            return data or b""
        return json.dumps(data) if is_json else str(data)

    forms = [to_binary(event, data_marshaller=write), to_structured(event, data_marshaller=lambda data: data)]
    return event, forms


def line_2(request: dict[str, Any]) -> tuple[Any, list[tuple[Any, Any]]]:
    from cloudevents.core.bindings.http import (
        HTTPMessage,
        from_http_event,
        to_binary_event,
        to_structured_event,
    )
    from cloudevents.core.v1.event import CloudEvent

    event: Any
    if "body" in request:
        event = from_http_event(HTTPMessage(request["headers"], decoded(request["body"])))
    else:
        moment = datetime.fromisoformat(request["attributes"]["time"])
        event = CloudEvent({**request["attributes"], "time": moment}, data_of(request["data"]))
    return event, [(form.headers, form.body) for form in (to_binary_event(event), to_structured_event(event))]


def data_of(given: Any) -> Any:
    return decoded(given["base64"]) if isinstance(given, dict) and "base64" in given else given


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def encoded(body: Any) -> str:
    return base64.b64encode(body.encode() if isinstance(body, str) else body or b"").decode()


def seen(event: Any) -> dict[str, Any]:
    data = event.get_data()
    if not isinstance(data, bytes | str | None):
        data = json.dumps(data)
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    return {"attributes": attributes, "data": None if data is None else encoded(data)}


def main(answer: Callable[[dict[str, Any]], tuple[Any, list[tuple[Any, Any]]]]) -> None:
    for line in sys.stdin:
        event, forms = answer(json.loads(line))
        out = [{"headers": dict(headers), "body": encoded(body)} for headers, body in forms]
        print(json.dumps({"seen": seen(event), "forms": out}), flush=True)


if __name__ == "__main__":
    main(line_1 if sys.argv[1] == "1" else line_2)
