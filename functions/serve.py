"""The unit's process in a container: `python -m tidemill.functions.serve`.

Serves `asgi.unit_app` on $PORT with uvicorn, starts the host once, and on SIGTERM finishes the
requests in hand before it closes the agents.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from ..errors import TidemillError
from .asgi import unit_app
from .environment import Environment, from_variables
from .host import Host
from .logs import configure
from .publishing import IngressPublisher
from .sourcing import run_source

DEFAULT_PORT = 8080  # Knative's

log = logging.getLogger("tidemill.serve")


async def serve(environment: Environment, port: int, address: str = "0.0.0.0") -> None:
    """Serve until a signal."""
    import uvicorn

    publisher = (
        IngressPublisher(environment.ingress, environment.read_topics()) if environment.ingress else None
    )
    host = Host(environment.read_unit(), environment, publisher or NoPublisher())
    await host.start()
    app = unit_app(host, publisher)
    config = uvicorn.Config(
        app,
        host=address,
        port=port,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=int(host.deadline),
    )
    server = uvicorn.Server(config)
    reading = asyncio.create_task(run_source(host)) if host.source is not None else None
    try:
        await server.serve()
    finally:
        if reading is not None:
            reading.cancel()
        await host.close()
        if publisher is not None:
            await publisher.close()


class NoPublisher:
    """Without an ingress there is nowhere to write but the reply."""

    async def publish(self, topic: str, events: object) -> None:
        raise TidemillError(
            f"there is no ingress to publish to '{topic}'",
            hint="set TIDEMILL_INGRESS to the brokers' base URL",
        )


def main() -> int:
    """The process, from its first line to its exit status."""
    configure()
    try:
        import uvloop

        uvloop.run(serve(from_variables(), int(os.environ.get("PORT", DEFAULT_PORT))))
    except TidemillError as error:
        log.error("%s%s", error, f" ({error.hint})" if error.hint else "")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
