"""A unit as an HTTP server: what runs in the container, and what any CloudEvents client can call.

POST / takes one event and answers as Knative's dispatcher reads it: 2xx with an empty body when the
record is done, 429 and 503 to be asked again, 422 for a record that will never work. With an ingress
the outputs are published there first, each to the Broker of its topic; without one a unit is a plain
function and its single output is the reply.
"""

from __future__ import annotations

from ..bindings import from_http, to_http
from ..errors import EventError
from .host import Host, Publisher
from .http import (
    App,
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    answer,
    answer_json,
    answer_text,
    lifespan,
    read_body,
)
from .outcome import Busy, Done, Failed, Result

MAX_REASON = 512


def unit_app(host: Host, publisher: Publisher | None) -> App:
    """The ASGI app of a started host. `publisher` None: outputs are replies."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["method"] == "POST":
            await _post(scope, receive, send, host, publisher)
        elif scope["method"] in ("GET", "HEAD"):
            await _get(scope["path"], send, host)
        else:
            await answer_text(send, 405, "only POST / takes events")

    return app


async def _post(scope: Scope, receive: Receive, send: Send, host: Host, publisher: Publisher | None) -> None:
    try:
        body = await read_body(receive)
        event = from_http(scope["headers"], body)
    except ClientGone:
        return
    except BodyTooLarge as error:
        await answer_text(send, 413, str(error))
        return
    except EventError as error:
        await answer_text(send, 400, error.message)
        return
    if scope["path"] == "/skipped":
        host.metrics[("skipped_total", host.unit.id)] += 1
        await answer(send, 204)
        return
    result = host.attempt(event, host.unit.input, None)
    await _respond(send, result if isinstance(result, tuple) else await result, host, publisher)


async def _respond(send: Send, result: Result, host: Host, publisher: Publisher | None) -> None:
    if isinstance(result, Failed):
        await _refuse(send, result, host)
    elif isinstance(result, Busy):
        await answer_text(send, 429, "an earlier attempt for this key is still running")
    elif publisher is not None:
        await _publish(send, result, publisher)
    elif not result.outputs:
        await answer(send, 204)
    elif len(result.outputs) == 1:
        headers, data = to_http(result.outputs[0][1])
        await answer(send, 200, data, headers)
    else:
        count = len(result.outputs)
        await answer_text(
            send, 500, f"the record gave {count} events; a reply can carry one: set TIDEMILL_INGRESS"
        )


async def _publish(send: Send, result: Done, publisher: Publisher) -> None:
    for topic, event in result.outputs:
        try:
            await publisher.publish(topic, [event])
        except Exception as error:
            await answer_text(
                send, 503, f"an output could not be published to '{topic}': {error}"[:MAX_REASON]
            )
            return
    await answer(send, 204)


async def _refuse(send: Send, failed: Failed, host: Host) -> None:
    """503 to be tried again; 422 sends the record to the dead letters at once (never with `fail`)."""
    poison = failed.permanent and host.unit.errors.on_failure != "fail"
    reason = f"{failed.error_class}: {failed.message}"[:MAX_REASON]
    kne = (b"kne-tidemillerror", _ascii(f"{failed.kind} {reason}"))
    await answer(
        send,
        422 if poison else 503,
        reason.encode(),
        ((b"content-type", b"text/plain; charset=utf-8"), kne),
    )


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace").replace(b"\n", b" ").replace(b"\r", b" ")


async def _get(path: str, send: Send, host: Host) -> None:
    if path in ("/health/liveness", "/health/readiness"):
        await answer_json(send, 200, {"status": "UP"})
    elif path == "/info":
        await answer_json(send, 200, host.info())
    elif path == "/metrics":
        await answer_text(send, 200, exposition(host))
    else:
        await answer_text(send, 404, "there are /health/liveness, /health/readiness, /info and /metrics")


def exposition(host: Host) -> str:
    """The counters in Prometheus' text format, labelled by agent as LangStream labels them."""
    lines = [
        f'{name}{{agent_id="{agent}"}} {value:g}' for (name, agent), value in sorted(host.metrics.items())
    ]
    return "\n".join([*lines, f'in_flight{{agent_id="{host.unit.id}"}} {host.in_flight}', ""])
