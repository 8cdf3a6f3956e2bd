"""`tidemill run`: one application on this machine, from its folder to running processes and back.

Called by `cli/run.py`. The order is the design's: load, plan, render, and run what was rendered. A
change of the application's files takes the same path; a faulty change is reported and what runs goes
on. The first Ctrl-C or SIGTERM drains, the second ends at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..application.plan import StreamingCluster
from ..application.planner import study
from ..application.runnable import check_runnable
from ..brokers.protocol import PlatformBroker
from ..errors import ApplicationError, TidemillError
from ..knative.options import RenderOptions
from ..knative.read import Manifests, read
from ..knative.render import render
from .opening import open_broker
from .platform import Platform

DEFAULT_GATEWAY_PORT = 8091
STATE_FOLDER = ".tidemill"

log = logging.getLogger("tidemill.run")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says."""

    directory: Path
    instance: Path | None = None
    secrets: Path | None = None
    state: Path | None = None
    name: str | None = None
    gateway_port: int = DEFAULT_GATEWAY_PORT
    ingress_port: int = 0
    embedded: bool = False  # use the embedded broker whatever the instance says
    watch: bool = True

    @property
    def state_folder(self) -> Path:
        return (self.state or self.directory / STATE_FOLDER).absolute()


@dataclass(frozen=True, slots=True)
class Prepared:
    """An application as it will run."""

    manifests: Manifests
    secrets: Mapping[str, Mapping[str, Any]]
    code: str  # digest of its Python
    cluster: StreamingCluster


def prepare(options: RunOptions) -> Prepared:
    """Load, plan and render. Raises ApplicationError and TidemillError."""
    studied = study(
        options.directory,
        instance=options.instance,
        secrets=options.secrets,
        name=options.name,
        complete=True,
    )
    for note in studied.problems.notes:
        log.warning("%s", note)
    check_runnable(studied)
    planned = studied.plan
    cluster = StreamingCluster() if options.embedded else planned.cluster
    _refuse_foreign_brokers(cluster.type)
    manifests = read(render(planned, RenderOptions(namespace=planned.tenant)))
    secrets = studied.application.secrets
    values = secrets.values if secrets else {}
    return Prepared(manifests, values, code_digest(options.directory), cluster)


def _refuse_foreign_brokers(kind: str) -> None:
    if kind in ("embedded", "noop", "kafka"):
        return
    what = {
        "pulsar": "Tidemill plans Pulsar applications, but has no Pulsar broker",
        "pravega": "Tidemill plans Pravega applications, but has no Pravega broker",
    }[kind]
    raise TidemillError(
        f"the instance asks for a streaming cluster of type '{kind}', which this command does not serve yet",
        hint=f"add --embedded to use the embedded broker instead; {what}",
    )


def code_digest(directory: Path) -> str:
    """SHA-256 over everything below python/: a change replaces the workers."""
    digest = hashlib.sha256()
    for file in sorted((directory / "python").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(directory)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


async def run(options: RunOptions, announce: Callable[[Platform], None]) -> None:
    """Run until a signal. `announce` is called once everything is up."""
    prepared = prepare(options)
    async with open_broker(prepared.cluster, options.state_folder, prepared.secrets) as broker:
        await _run(options, prepared, broker, announce)


async def _run(
    options: RunOptions, prepared: Prepared, broker: PlatformBroker, announce: Callable[[Platform], None]
) -> None:
    platform = Platform(
        prepared.manifests,
        broker,
        state=options.state_folder,
        code=options.directory.absolute(),
        secrets=prepared.secrets,
        gateway_port=options.gateway_port,
        ingress_port=options.ingress_port,
    )
    stopping, hurry = _signals()
    try:
        await platform.start()
        _report(platform)
        announce(platform)
        await _until(stopping, platform, options, prepared)
        draining = asyncio.create_task(platform.drain())
        await _first(draining, hurry)
        if draining.done():
            draining.result()
    finally:
        await platform.close()
        platform.places.report.unlink(missing_ok=True)


async def _until(stopping: asyncio.Event, platform: Platform, options: RunOptions, now: Prepared) -> None:
    reporting = asyncio.create_task(_keep_reporting(platform))
    watching = asyncio.create_task(_watch(platform, options, now)) if options.watch else None
    try:
        await stopping.wait()
    finally:
        for task in (reporting, watching):
            if task is not None:
                task.cancel()


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """(first signal seen, second signal seen)."""
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled)
    return stopping, hurry


async def _first(draining: asyncio.Task[None], hurry: asyncio.Event) -> None:
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait([draining, hurried], return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()


async def _keep_reporting(platform: Platform) -> None:
    while True:
        await asyncio.sleep(1.0)
        try:
            _report(platform)
        except OSError as error:
            log.error("%s could not be written: %s", platform.places.report, error)


def _report(platform: Platform) -> None:
    """Write run.json in one step, so that a reader never sees half of it."""
    target = platform.places.report
    part = target.with_suffix(".part")
    part.write_text(json.dumps(platform.status(), indent=1))
    part.replace(target)


async def _watch(platform: Platform, options: RunOptions, now: Prepared) -> None:
    """Apply every change of the application's files until cancelled."""
    from watchfiles import DefaultFilter, awatch

    watched = DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, STATE_FOLDER), ignore_paths=[])
    paths = [options.directory, *(path for path in (options.instance, options.secrets) if path is not None)]
    watching = awatch(*paths, watch_filter=watched, debounce=200, step=50)
    while True:
        change = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0)  # it watches from here on: the first reload finds what changed before
        try:
            now = await _reload(platform, options, now)
        except TidemillError as error:
            log.error("the change could not be applied: %s", error)
        except Exception:  # a file that goes while it is read, a fault of ours: the next change is seen
            log.exception("the change could not be applied")
        await change


async def _reload(platform: Platform, options: RunOptions, now: Prepared) -> Prepared:
    try:
        new = await asyncio.to_thread(prepare, options)  # delivery goes on meanwhile
    except (ApplicationError, TidemillError) as error:
        log.error("the change is not applied, what runs goes on:\n%s", error)
        return now
    if new == now:
        return now
    if new.cluster != now.cluster:
        log.error("the change is not applied, what runs goes on: another streaming cluster needs a new start")
        return now
    begun = asyncio.get_running_loop().time()
    replaced = await platform.apply(new.manifests, new.secrets, code_changed=new.code != now.code)
    spent = (asyncio.get_running_loop().time() - begun) * 1000
    log.info("reloaded %s in %.0f ms", ", ".join(replaced) or "the application", spent)
    return new
