"""Bare uvicorn with a codec written by hand: the least that an HTTP function in Python can cost.

`python uvicorn_codec.py PORT`. Binary mode in, binary mode out; the handler parses the JSON, sets one
field and returns the whole document.
"""

from __future__ import annotations

import itertools
import sys

import orjson
import uvicorn

_ids = itertools.count(1)


def handle(attributes, data):
    document = orjson.loads(data)
    document["seen"] = True
    reply = {**attributes, "id": str(next(_ids)), "source": "/peer"}
    return reply, orjson.dumps(document)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    attributes = {
        name[3:].decode(): value.decode() for name, value in scope["headers"] if name.startswith(b"ce-")
    }
    message = await receive()
    data = message["body"]
    while message.get("more_body"):
        message = await receive()
        data += message["body"]
    valid = attributes.get("specversion") == "1.0" and all(map(attributes.get, ("id", "source", "type")))
    status, headers, body = 400, [], b""
    if valid:
        reply, body = handle(attributes, data)
        status, headers = 200, [(b"ce-" + name.encode(), value.encode()) for name, value in reply.items()]
        headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
