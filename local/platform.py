"""A cluster in small: runs the manifests of one application on this machine.

Called by `run.py`. It holds the composition of broker, triggers, workers, ingress and gateway, and
keeps running units in step with the manifests when they change (`apply`). Everything that must
survive is in the broker; a platform that is killed and started again goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..brokers.protocol import PlatformBroker, SharedBroker, TopicConfig
from ..errors import BrokerUnavailable, NotFound, TidemillError
from ..functions.environment import write_secrets
from ..functions.gateway.app import Gateway, gateway_app
from ..functions.gateway.server import GatewayServer
from ..functions.registry import AGENTS, declaration
from ..knative.read import Manifests
from ..triggers.delivery import Dispatcher
from ..triggers.sharing import SharedDispatcher
from .connections import Connection
from .ingress import ingress_app
from .pool import Pool
from .processes import Processes
from .servers import QuietServer, Serving, bind
from .units import Places, RunningUnit, make_unit, triggers_of, unit_variables

TICK_SECONDS = 1.0
SERVICE_URL = "http://127.0.0.1:8000"
MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes

log = logging.getLogger("tidemill.platform")


class Platform:
    """One application, running."""

    def __init__(
        self,
        manifests: Manifests,
        broker: PlatformBroker,
        *,
        state: Path,
        code: Path,
        secrets: Mapping[str, Mapping[str, Any]],
        gateway_port: int,
        ingress_port: int = 0,
    ) -> None:
        self.manifests = manifests
        self.broker = broker
        self._scratch = _short_folder(state)
        self.places = Places(state, code, self._scratch / "workers.sock")
        self._secrets = secrets
        self._gateway_socket = bind(gateway_port, "--gateway-port")
        self._ingress_socket = bind(ingress_port, "--ingress-port")
        self.units: dict[str, RunningUnit] = {}
        self._pools: dict[str, Pool] = {}
        self._processes = Processes(_modules(manifests), _libraries(manifests))
        self._listener: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._brokers: dict[str, str] = {}
        self.ready = False
        self.gateway: Serving
        self.ingress: Serving

    async def start(self) -> None:
        """Everything up: when this returns, the gateway accepts and every unit can be woken."""
        write_secrets(self.places.secrets, self._secrets)
        loop = asyncio.get_running_loop()
        self.places.socket.unlink(missing_ok=True)
        self._listener = await loop.create_unix_server(
            lambda: Connection(self._pools, self.broker), str(self.places.socket)
        )
        os.chmod(self.places.socket, 0o600)
        await self._create_topics(self.manifests)
        ingress = ingress_app(self.broker, self.manifests.tenant, self._brokers, self.status)
        self.ingress = Serving(QuietServer(ingress), self._ingress_socket)
        self._gateway = self._make_gateway()
        self.gateway = Serving(GatewayServer(self._gateway), self._gateway_socket)
        await self._processes.start()
        await self._start_units(self.manifests)
        await self.ingress.start()
        await self.gateway.start()
        self._ticking = asyncio.create_task(self._tick())
        self.ready = True

    def _make_gateway(self) -> Gateway:
        return gateway_app(
            self.broker,
            self.manifests.gateways,
            tenant=self.manifests.tenant,
            application=self.manifests.application,
            ready=lambda: self.ready,
            forward=_service_urls(self.manifests),
        )

    async def _create_topics(self, manifests: Manifests) -> None:
        for topic in manifests.topics:
            if topic.creation_mode == "none" and isinstance(self.broker, SharedBroker):
                self._must_exist(topic.name)  # it is somebody else's: the embedded broker alone makes it
            copies = topic.options.get("replication-factor")
            made = TopicConfig(topic.name, topic.partitions, topic.config, int(copies) if copies else None)
            await self.broker.create_topic(made)
        self._brokers.clear()
        self._brokers.update({broker.name: broker.topic for broker in manifests.brokers})
        self._brokers.update({topic.name: topic.name for topic in manifests.topics})

    def _must_exist(self, topic: str) -> None:
        known = self.broker.topics()
        if topic not in known:
            raise NotFound("topic", topic, known)

    async def _start_units(self, manifests: Manifests) -> None:
        for unit in manifests.units:
            if unit.name in self.units:
                continue
            variables = unit_variables(self.places, unit, f"http://127.0.0.1:{self._port()}")
            running = make_unit(unit, manifests, self._processes, variables)
            self.units[unit.name] = running
            self._pools[running.spec.id] = running.pool
            await running.start(self.broker)

    def _port(self) -> int:
        port: int = self._ingress_socket.getsockname()[1]
        return port

    async def apply(
        self, manifests: Manifests, secrets: Mapping[str, Mapping[str, Any]], *, code_changed: bool
    ) -> Sequence[str]:
        """Bring what runs in step with new manifests; the names of the units that were replaced.

        A replaced unit first finishes what it holds; its positions are in the broker, so the new one
        goes on exactly there.
        """
        new = {unit.name: unit for unit in manifests.units}
        secrets_changed = secrets != self._secrets
        write_secrets(self.places.secrets, secrets)
        self._secrets = secrets
        stale = [
            name
            for name, running in self.units.items()
            if code_changed
            or secrets_changed
            or new.get(name) != running.unit
            or triggers_of(running.unit, manifests) != running.triggers
        ]
        await self._create_topics(manifests)
        for name in stale:
            running = self.units.pop(name)
            await running.stop(timeout=30.0)
            self._pools.pop(running.spec.id, None)
        fresh = [name for name in new if name not in self.units]
        await self._start_units(manifests)
        gateways_changed = manifests.gateways != self.manifests.gateways
        self.manifests = manifests
        if gateways_changed:
            self._gateway.replace(manifests.gateways)
        return fresh

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for running in list(self.units.values()):
                running.pool.tick(loop.time())
            try:
                await self.broker.maintain()
            except BrokerUnavailable as error:  # scaling goes on, and the next second is another try
                log.error("the broker could not be maintained: %s", error)

    def status(self) -> dict[str, Any]:
        """What runs, for run.json and /info."""
        return {
            "version": 1,
            "pid": os.getpid(),
            "tenant": self.manifests.tenant,
            "application": self.manifests.application,
            "state": str(self.places.state),
            "gateway": {"url": self.gateway.url},
            "ingress": {"url": self.ingress.url},
            "parent": self._processes.parent_pid,
            "units": {running.spec.id: _unit_status(running) for running in self.units.values()},
        }

    async def drain(self, timeout: float = 60.0) -> None:
        """Accept nothing more, finish what is in hand, leave no child."""
        self.ready = False
        if self._ticking is not None:
            self._ticking.cancel()
        await asyncio.gather(self.gateway.stop(), self.ingress.stop())
        await asyncio.gather(*(running.stop(timeout) for running in self.units.values()))
        await self.close()

    async def close(self) -> None:
        """End what is left, without waiting for records in hand."""
        if self._listener is not None:
            self._listener.close()
        await self._processes.close()
        shutil.rmtree(self.places.secrets, ignore_errors=True)
        if self._scratch != self.places.state:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _short_folder(state: Path) -> Path:
    """A folder for sockets: the state folder, unless its path is too long for one; then always the same,
    so that runs that were killed leave one at most."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if len(str(state).encode()) < MAX_SOCKET_PATH - 20:
        return state
    mark = hashlib.sha256(str(state).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tidemill-{os.getuid()}-{mark}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise TidemillError(f"{folder} belongs to somebody else", hint="give a shorter path with --state")
    return folder


def _types(manifests: Manifests) -> list[str]:
    types = {agent.type for unit in manifests.units for agent in unit.spec().agents}
    return sorted(name for name in types if name in AGENTS)


def _libraries(manifests: Manifests) -> list[str]:
    """What the application's agents import late, and the parent once for all of them."""
    return sorted({module for name in _types(manifests) for module in declaration(name).preload})


def _modules(manifests: Manifests) -> list[str]:
    """What the parent imports: the worker, and the modules of the application's agents."""
    agents = [f"tidemill.functions.{AGENTS[name].split(':')[0]}" for name in _types(manifests)]
    return ["uvloop", "tidemill.functions.worker", "tidemill.functions.placeholders", *agents]


def _service_urls(manifests: Manifests) -> dict[str, str]:
    """Where the service agents of user code listen: they bind LangStream's port themselves."""
    units = [unit.spec() for unit in manifests.units]
    return {agent.id: SERVICE_URL for unit in units if unit.kind == "service" for agent in unit.agents}


def _unit_status(running: RunningUnit) -> dict[str, Any]:
    pool = running.pool
    return {
        "workers": [worker.pid for worker in pool.workers if worker.pid],
        "in-flight": sum(len(worker.held) for worker in pool.workers),
        "finished": pool.finished,
        "last-error": pool.last_error,
        "agents": [agent for info in pool.infos.values() for agent in info.info],
        "triggers": {name: _trigger_status(dispatcher) for name, dispatcher in running.dispatchers.items()},
    }


def _trigger_status(dispatcher: Dispatcher | SharedDispatcher) -> dict[str, Any]:
    shared = {"partitions": dispatcher.partitions} if isinstance(dispatcher, SharedDispatcher) else {}
    return {
        "lag": dispatcher.lag,
        "demand": dispatcher.demand,
        "stuck": [list(lane) for lane in dispatcher.stuck],
        **shared,
    }
