"""One unit on this machine: its files, its pool of workers and its dispatchers.

Made by `platform.py` from the unit's Service, ConfigMap and Triggers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..brokers.protocol import Broker, PlatformBroker, SharedBroker
from ..errors import BrokerUnavailable
from ..functions.registry import declaration
from ..functions.unit import UnitSpec
from ..knative.read import CONCURRENCY_TARGET, Manifests, TriggerManifest, UnitManifest
from ..triggers.delivery import Dispatcher
from ..triggers.filters import compile_filters
from ..triggers.policy import RetryPolicy, of_delivery, parse_duration
from ..triggers.sharing import SharedDispatcher
from .autoscaler import Autoscaler, ScalePolicy
from .pool import Pool
from .processes import Processes

RESTART_SECONDS = 1.0

log = logging.getLogger("tidemill.platform")


class Places:
    """Where a run keeps its files, below the state folder."""

    def __init__(self, state: Path, code: Path, socket: Path) -> None:
        self.state = state
        self.code = code
        self.socket = socket
        self.units = state / "units"
        self.secrets = state / "secrets"
        self.disks = state / "disks"
        self.report = state / "run.json"


def unit_variables(places: Places, unit: UnitManifest, ingress: str) -> dict[str, str]:
    """The unit's environment; writes the files that it names."""
    folder = places.units / unit.config_name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unit.json").write_text(unit.config)
    (folder / "topics.json").write_text(json.dumps(unit.topics))
    return {
        "TIDEMILL_UNIT": str(folder / "unit.json"),
        "TIDEMILL_TOPICS": str(folder / "topics.json"),
        "TIDEMILL_SECRETS": str(places.secrets),
        "TIDEMILL_STATE": str(places.disks),
        "TIDEMILL_CODE": str(places.code),
        "TIDEMILL_INGRESS": ingress,
        "TIDEMILL_SOCKET": str(places.socket),
    }


def scale_policy(unit: UnitManifest, spec: UnitSpec) -> ScalePolicy:
    """What the annotations say, within what this machine has."""
    cores = os.cpu_count() or 1
    alone = spec.kind in ("source", "service")
    most = spec.resources.parallelism if alone else max(cores, 2)
    maximum = min(unit.max_scale, most) if unit.max_scale else most
    return ScalePolicy(
        minimum=min(unit.min_scale, maximum),
        maximum=maximum,
        target=unit.target if unit.metric == "rps" else spec.resources.scale.target or _carries(spec),
        metric=unit.metric,
        window=unit.window,
        delay=unit.scale_down_delay,
    )


def _carries(spec: UnitSpec) -> float:
    """How many records one copy should carry when the unit does not say. A Service's target is made
    for Knative, whose ordered Trigger has one record in flight per partition; here it is one per key."""
    limits = [limit for agent in spec.agents if (limit := declaration(agent.type).concurrency)]
    return float(min(limits, default=int(CONCURRENCY_TARGET)))


def retry_policy(trigger: TriggerManifest) -> RetryPolicy:
    """The user's own words where the Trigger carries them: here they can be kept exactly."""
    if trigger.on_failure is None:
        return of_delivery(trigger.delivery)
    timeout = trigger.delivery.get("timeout")
    return RetryPolicy(
        trigger.on_failure, trigger.retries or 0, timeout=parse_duration(timeout) if timeout else None
    )


class RunningUnit:
    """A unit's pool and dispatchers."""

    def __init__(self, unit: UnitManifest, triggers: tuple[TriggerManifest, ...], pool: Pool) -> None:
        self.unit = unit
        self.triggers = triggers
        self.pool = pool
        self.spec = unit.spec()
        self.dispatchers: dict[str, Dispatcher | SharedDispatcher] = {}
        self._restarts: set[asyncio.Task[None]] = set()

    async def start(self, broker: PlatformBroker) -> None:
        """Begin to deliver. Workers start when the first record is there."""
        for trigger in self.triggers:
            broker.hold(trigger.name, trigger.topic)  # retention spares what this group has not had
            await self._dispatch(trigger, broker)

    async def _dispatch(self, trigger: TriggerManifest, broker: PlatformBroker) -> None:
        dispatcher: Dispatcher | SharedDispatcher
        if isinstance(broker, SharedBroker):
            make = partial(self._dispatcher, trigger)
            dispatcher = SharedDispatcher(broker, trigger.name, trigger.topic, make)
        else:
            dispatcher = self._dispatcher(trigger, broker)
            dispatcher.failed = lambda error: self._failed(trigger, broker, error)
        dispatcher.demand_changed = self.pool.demand_changed
        self.dispatchers[trigger.name] = dispatcher
        self.pool.dispatchers = list(self.dispatchers.values())
        await dispatcher.start()

    def _dispatcher(self, trigger: TriggerManifest, broker: Broker) -> Dispatcher:
        return Dispatcher(
            broker,
            group=trigger.name,
            topic=trigger.topic,
            policy=retry_policy(trigger),
            subscriber=self.pool,
            filter=compile_filters(trigger.filters) if trigger.filters else None,
            dead_letter=self.spec.dead_letter,
            unit=self.spec.id,
        )

    def _failed(self, trigger: TriggerManifest, broker: PlatformBroker, error: BaseException) -> None:
        """The broker could not write or read: begin again from what it holds, until it can."""
        log.error("delivery to %s stopped, a new start follows: %s", self.spec.id, error)
        task = asyncio.get_running_loop().create_task(self._restart(trigger, broker))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self, trigger: TriggerManifest, broker: PlatformBroker) -> None:
        await self.dispatchers[trigger.name].close()
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            try:
                return await self._dispatch(trigger, broker)
            except BrokerUnavailable as error:
                log.error("delivery to %s cannot start yet: %s", self.spec.id, error)

    async def stop(self, timeout: float) -> None:
        """Finish what is in hand, then end the workers."""
        for task in self._restarts:
            task.cancel()
        for dispatcher in self.dispatchers.values():
            await dispatcher.drain(timeout)
            await dispatcher.close()
        await self.pool.close(timeout)


def triggers_of(unit: UnitManifest, manifests: Manifests) -> tuple[TriggerManifest, ...]:
    """The triggers that start a unit."""
    return tuple(trigger for trigger in manifests.triggers if trigger.subscriber == unit.name)


def make_unit(
    unit: UnitManifest, manifests: Manifests, processes: Processes, variables: Mapping[str, str]
) -> RunningUnit:
    """A unit that is not started yet."""
    spec = unit.spec()
    pool = Pool(
        spec.id,
        processes,
        variables,
        Autoscaler(scale_policy(unit, spec)),
        always=spec.kind in ("source", "service"),
    )
    return RunningUnit(unit, triggers_of(unit, manifests), pool)
