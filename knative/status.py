"""What a cluster knows about applications, as plain values for `cli/app.py`.

Read from the objects alone, by their labels; no file of the application is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotFound
from . import names, objects, releases
from .apply import identity, owned
from .cluster import Cluster
from .objects import Object
from .pods import CONTAINER
from .read import Manifests, read
from .releases import Release
from .render import apply_rank
from .scope import KIND
from .waiting import state


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the list of applications."""

    name: str
    units: int
    ready: int
    release: int | None
    deployed: str | None


@dataclass(frozen=True, slots=True)
class ObjectState:
    kind: str
    name: str
    ready: bool
    text: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A Service of an application. `copies` None: the cluster does not say; 0 is asleep, and healthy."""

    name: str
    kind: str
    service: str
    revision: str | None
    copies: int | None
    ready: bool
    text: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Description:
    application: str
    namespace: str
    image: str | None
    release: Release | None
    units: tuple[Unit, ...]
    manifests: Manifests
    states: tuple[ObjectState, ...]


def applications(cluster: Cluster) -> list[Summary]:
    """Those that have a Service or a release in the namespace."""
    label = objects.APPLICATION_LABEL
    services = cluster.list("Service", label)
    kept = cluster.list("ConfigMap", f"{label},{releases.RELEASE_LABEL}")
    names = {item["metadata"]["labels"][label] for item in [*services, *kept]}
    return [_summary(cluster, name, services) for name in sorted(names)]


def _summary(cluster: Cluster, name: str, services: Iterable[Object]) -> Summary:
    own = [item for item in services if item["metadata"]["labels"][objects.APPLICATION_LABEL] == name]
    past = releases.history(cluster, name)
    newest = past[0] if past else None
    return Summary(
        name=name,
        units=len(own),
        ready=sum(state(item).ready for item in own),
        release=newest.number if newest else None,
        deployed=newest.time if newest else None,
    )


def states(cluster: Cluster, application: str) -> tuple[ObjectState, ...]:
    """How far everything of an application is. Raises NotFound."""
    return _states(_found(cluster, application))


def _found(cluster: Cluster, application: str) -> list[Object]:
    found = list(owned(cluster, application).values())
    if not found:
        raise NotFound("application", application, [each.name for each in applications(cluster)])
    return sorted(found, key=lambda item: (apply_rank(item), item["metadata"]["name"]))


def _states(found: Sequence[Object]) -> tuple[ObjectState, ...]:
    seen = [(identity(item), state(item)) for item in found]
    return tuple(ObjectState(kind, name, now.ready, now.text) for (kind, name), now in seen)


def describe(cluster: Cluster, application: str) -> Description:
    """Raises NotFound."""
    found = _found(cluster, application)
    past = releases.history(cluster, application)
    services = [item for item in found if item["kind"] == "Service"]
    labels = f"{objects.APPLICATION_LABEL}={found[0]['metadata']['labels'][objects.APPLICATION_LABEL]}"
    revisions = {item["metadata"]["name"]: item for item in cluster.list("Revision", labels)}
    return Description(
        application=application,
        namespace=cluster.namespace,
        image=image(found),
        release=past[0] if past else None,
        units=tuple(_unit(item, revisions) for item in services),
        manifests=read(found),
        states=_states(found),
    )


def _unit(service: Object, revisions: dict[str, Object]) -> Unit:
    meta, status = service["metadata"], service.get("status", {})
    revision = status.get("latestReadyRevisionName")
    now = state(service)
    copies: Any = revisions.get(revision, {}).get("status", {}).get("actualReplicas")
    return Unit(
        name=meta["labels"].get(objects.UNIT_LABEL, "gateway"),
        kind=meta.get("annotations", {}).get(KIND, ""),
        service=meta["name"],
        revision=revision,
        copies=copies,
        ready=now.ready,
        text=now.text,
        url=status.get("url"),
    )


@dataclass(frozen=True, slots=True)
class LogLine:
    unit: str
    pod: str
    line: str


def logs(
    cluster: Cluster, application: str, agent: str | None = None, since: int | None = None
) -> Iterator[LogLine]:
    """What the pods that there are have written, unit by unit; a unit that sleeps has none. Raises
    NotFound."""
    found = _found(cluster, application)
    wanted = names.label(_unit_of(found, agent)) if agent else None
    selector = f"{objects.APPLICATION_LABEL}={names.label(application)}"
    asked = {} if since is None else {"sinceSeconds": since}
    pods = cluster.list("Pod", selector + (f",{objects.UNIT_LABEL}={wanted}" if wanted else ""))
    for pod in sorted(pods, key=lambda pod: (_unit_label(pod), pod["metadata"]["name"])):
        name = pod["metadata"]["name"]
        for line in cluster.logs(name, CONTAINER, **asked).splitlines():
            yield LogLine(_unit_label(pod), name, line)


def _unit_label(found: Object) -> str:
    return str(found["metadata"]["labels"].get(objects.UNIT_LABEL, "-"))


def _unit_of(found: Sequence[Object], agent: str) -> str:
    """The unit that an agent runs in."""
    specs = [unit.spec() for unit in read(found).units]
    runs = {each.id: spec.id for spec in specs for each in spec.agents}
    if agent not in runs:
        raise NotFound("agent", agent, runs)
    return runs[agent]


def image(found: Iterable[Object]) -> str | None:
    """What the containers of an application run."""
    for item in found:
        if item["kind"] == "Service":
            name: str = item["spec"]["template"]["spec"]["containers"][0]["image"]
            return name
    return None
