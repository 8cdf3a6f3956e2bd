"""Waits until a cluster has done what was applied.

Called by `apply.py` after each step. An object is done when its controller has seen the newest
generation and says Ready, in this order: a Ready that is older than the change means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import TidemillError
from .cluster import Cluster
from .objects import Object

# Kinds that are what they are as soon as they are stored. A volume claim may wait for its first pod.
AT_ONCE = ("ConfigMap", "Secret", "PersistentVolumeClaim")
PAUSE = 1.0
TIMEOUT = 600.0  # kn's

Tell = Callable[[str, str, str], None]  # kind, name, what happened to it


@dataclass(frozen=True, slots=True)
class State:
    """How far an object is: `ready`, `failed` (for good), else on its way; `text` says why."""

    ready: bool
    failed: bool = False
    text: str = ""


class NotReady(TidemillError):
    """What was applied is not ready: `waiting` is (Kind/name, why)."""

    def __init__(self, waiting: Sequence[tuple[str, str]], *, failed: bool) -> None:
        self.waiting = tuple(waiting)
        self.status = 1 if failed else 6
        listed = "; ".join(f"{what}: {why}" for what, why in waiting)
        head = "failed" if failed else "not ready in time"
        super().__init__(
            f"{head}: {listed}",
            hint="the same command again goes on from here; tidemill app status shows all",
        )


def state(found: Object) -> State:
    """What an object's status says."""
    status = found.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    if found["kind"] in AT_ONCE:
        return State(ready=True)
    if found["kind"] == "Job":
        return _job(conditions)
    if status.get("observedGeneration") != found["metadata"].get("generation"):
        return State(ready=False, text="not seen by its controller yet")
    ready = conditions.get("Ready", {})
    why = ": ".join(filter(None, (ready.get("reason"), ready.get("message")))) or "not ready yet"
    return State(ready.get("status") == "True", text="" if ready.get("status") == "True" else why)


def _job(conditions: dict[str, Object]) -> State:
    if conditions.get("Complete", {}).get("status") == "True":
        return State(ready=True)
    failed = conditions.get("Failed", {})
    if failed.get("status") == "True":
        return State(ready=False, failed=True, text=failed.get("message") or "it failed")
    return State(ready=False, text="running")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and by which clock."""

    seconds: float = TIMEOUT
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


def wait(cluster: Cluster, found: Sequence[Object], selector: str, patience: Patience, tell: Tell) -> None:
    """Until all are ready. Tells every change of state once. Raises NotReady."""
    end = patience.clock() + patience.seconds
    told: dict[tuple[str, str], State] = {}
    waiting = {(item["kind"], item["metadata"]["name"]) for item in found if item["kind"] not in AT_ONCE}
    while waiting:
        for identity, now in _states(cluster, waiting, selector).items():
            if told.get(identity) != now:
                told[identity] = now
                tell(*identity, "ready" if now.ready else now.text)
        failed = [
            (f"{kind}/{name}", told[kind, name].text) for kind, name in waiting if told[kind, name].failed
        ]
        if failed:
            raise NotReady(sorted(failed), failed=True)
        waiting = {identity for identity in waiting if not told[identity].ready}
        if waiting and patience.clock() >= end:
            late = sorted((f"{kind}/{name}", told[kind, name].text) for kind, name in waiting)
            raise NotReady(late, failed=False)
        if waiting:
            patience.pause(PAUSE)


def _states(cluster: Cluster, wanted: set[tuple[str, str]], selector: str) -> dict[tuple[str, str], State]:
    states = {identity: State(ready=False, text="it is not there") for identity in wanted}
    for kind in {kind for kind, _ in wanted}:
        for item in cluster.list(kind, selector):
            identity = kind, item["metadata"]["name"]
            if identity in wanted:
                states[identity] = state(item)
    return states
