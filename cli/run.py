"""`tidemill run DIR`: the application on this machine until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def run(
    directory: Annotated[Path, Parameter(help="the application's folder")] = Path("."),
    *,
    instance: Annotated[Path | None, Parameter(name=["--instance", "-i"], help="instance.yaml")] = None,
    secrets: Annotated[Path | None, Parameter(name=["--secrets", "-s"], help="secrets.yaml")] = None,
    state: Annotated[Path | None, Parameter(help="where topics and state are kept (DIR/.tidemill)")] = None,
    gateway_port: Annotated[int, Parameter(help="the gateway's port; 0: any")] = 8091,
    ingress_port: Annotated[int, Parameter(help="the ingress's port; 0: any")] = 0,
    name: Annotated[str | None, Parameter(help="the application's id (the folder's name)")] = None,
    embedded: Annotated[bool, Parameter(help="use the embedded broker whatever the instance says")] = False,
    watch: Annotated[bool, Parameter(help="apply changes of the files while running")] = True,
) -> None:
    """Run an application on this machine, with an embedded broker."""
    import uvloop

    from ..functions.logs import configure
    from ..local.platform import Platform
    from ..local.run import RunOptions
    from ..local.run import run as run_application

    configure()
    options = RunOptions(
        directory, instance, secrets, state, name, gateway_port, ingress_port, embedded, watch
    )

    def announce(platform: Platform) -> None:
        status = platform.status()
        print(f"application  {status['application']} (tenant {status['tenant']})")
        print(f"gateway      {status['gateway']['url']}")
        print(f"ingress      {status['ingress']['url']}/{status['tenant']}/<topic>")
        for gateway in platform.manifests.gateways:
            scheme = "ws" + platform.gateway.url.removeprefix("http")
            place = f"{gateway.type}/{status['tenant']}/{status['application']}/{gateway.id}"
            base = f"{platform.gateway.url}/api/gateways" if gateway.type == "service" else f"{scheme}/v1"
            print(f"  {gateway.type:8} {base}/{place}")
        print(f"units        {', '.join(status['units']) or 'none'} (asleep until an event comes)")
        print(f"state        {status['state']}")
        print("Ctrl-C drains and stops.", flush=True)

    uvloop.run(run_application(options, announce))
