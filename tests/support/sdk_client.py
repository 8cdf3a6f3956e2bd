"""A program on the `cloudevents` package, line 1.12 or 2.x: the other side of test_interop.py.

Reads one JSON object per line: {"headers": {...}, "body": base64}; parses it with the SDK; answers
with the SDK's own binary and structured forms of that event. Runs in an environment of its own.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any


def line_1(headers: dict[str, str], body: bytes) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import from_http

    event = from_http(headers, body, data_unmarshaller=lambda data: data)
    data = event.data if isinstance(event.data, bytes) else json.dumps(event.data).encode()
    seen = {"attributes": dict(event.get_attributes()), "data": base64.b64encode(data).decode()}

    def plain(value: Any) -> Any:
        return value

    return seen, [to_binary(event, data_marshaller=plain), to_structured(event, data_marshaller=plain)]


def line_2(headers: dict[str, str], body: bytes) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    from cloudevents.core.bindings.http import (
        HTTPMessage,
        from_http_event,
        to_binary_event,
        to_structured_event,
    )

    event = from_http_event(HTTPMessage(headers, body))
    data = event.get_data()
    if isinstance(data, str):
        data = data.encode()
    elif data is not None and not isinstance(data, bytes):
        data = json.dumps(data).encode()
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    seen = {"attributes": attributes, "data": base64.b64encode(data or b"").decode()}
    forms = [to_binary_event(event), to_structured_event(event)]
    return seen, [(form.headers, form.body) for form in forms]


def main() -> None:
    answer = line_1 if sys.argv[1] == "1" else line_2
    for line in sys.stdin:
        request = json.loads(line)
        seen, forms = answer(request["headers"], base64.b64decode(request["body"]))
        out = [
            {
                "headers": dict(headers),
                "body": base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode(),
            }
            for headers, body in forms
        ]
        print(json.dumps({"seen": seen, "forms": out}, default=str), flush=True)


if __name__ == "__main__":
    main()
