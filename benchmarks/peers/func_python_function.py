"""The function behind Knative's func-python.

`LISTEN_ADDRESS=127.0.0.1:PORT python func_python_function.py`
"""

from __future__ import annotations

import logging

from cloudevents.core.v1.event import CloudEvent
from func_python.cloudevent import serve


class Function:
    async def handle(self, scope, receive, send):
        event = scope["event"]
        document = event.get_data()
        document["seen"] = True
        attributes = {**event.get_attributes(), "id": event.get_id() + "-1", "source": "/peer"}
        await send.binary(CloudEvent(attributes=attributes, data=document))


def new():
    return Function()


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.WARNING)  # it logs at INFO
    serve(new)
