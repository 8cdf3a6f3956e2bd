"""The function behind functions-framework, by its HTTP signature: its CloudEvent one cannot reply.

`functions-framework --target handle --source framework_function.py --signature-type http --port PORT`
"""

from __future__ import annotations

import flask
from cloudevents.http import CloudEvent, from_http, to_binary


def handle(request: flask.Request):
    event = from_http(request.headers, request.get_data())
    document = event.data
    document["seen"] = True
    attributes = {**event.get_attributes(), "id": event["id"] + "-1", "source": "/peer"}
    headers, body = to_binary(CloudEvent(attributes, document))
    return body, 200, headers
