"""Makes a cluster hold what an application consists of, and nothing more of it.

Called by `cli/app.py` for deploy, diff, rollback and delete. What belongs to an application carries its
label; nothing else is ever changed or removed. Every step can be cut off: the next run compares with
what is there and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from ..errors import TidemillError
from . import differences, names, objects, releases
from .cluster import KINDS, MANAGER, Cluster
from .objects import Object
from .prepare import mounted
from .render import apply_rank
from .waiting import PAUSE, Patience, Tell, state, wait

APPLIED = tuple(kind for kind in KINDS if kind not in ("Revision", "Pod"))
Identity = tuple[str, str]  # kind, name
_BY_CONTENT = ("ConfigMap", "Job")  # named with what they hold: a new content is a new object
Action = Literal["create", "change", "remove"]


class NotOurs(TidemillError):
    """Objects of the names that the application needs are there, and are somebody else's."""

    status = 5

    def __init__(self, found: Sequence[Identity], application: str) -> None:
        self.found = tuple(found)
        listed = ", ".join(f"{kind}/{name}" for kind, name in found)
        super().__init__(
            f"{listed} exists and does not belong to the application {application}; nothing was changed",
            hint="deploy under another name or into another namespace, or remove what is there",
        )


class MissingSecrets(TidemillError):
    """The application refers to Secrets that nobody made."""

    status = 3

    def __init__(self, missing: Sequence[str], namespace: str) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"namespace {namespace} has no Secret {', '.join(missing)}, to which the application refers",
            hint="give the values with -s secrets.yaml, or: "
            f"kubectl create secret generic {missing[0]} -n {namespace} --from-literal=KEY=VALUE",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One object that would change; `lines` say how, without secrets."""

    action: Action
    kind: str
    name: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What stands between the cluster and the wanted state. `apply` are the objects to send in apply
    order, `remove` those that nobody needs any more in the order of their going."""

    application: str
    wanted: tuple[Object, ...] = field(repr=False)
    shown: tuple[Change, ...]
    apply: tuple[Object, ...] = field(repr=False)
    remove: tuple[Object, ...] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.shown)

    def wanted_openly(self) -> list[Object]:
        """The wanted objects without Secrets."""
        return [item for item in self.wanted if item["kind"] != "Secret"]


def selector(application: str) -> str:
    """The labels of what an application owns, its releases apart."""
    return f"{objects.APPLICATION_LABEL}={names.label(application)},!{releases.RELEASE_LABEL}"


def owned(cluster: Cluster, application: str) -> dict[Identity, Object]:
    """Everything of an application that the cluster holds."""
    found = [item for kind in APPLIED for item in cluster.list(kind, selector(application))]
    return {identity(item): item for item in found}


def identity(found: Object) -> Identity:
    return found["kind"], found["metadata"]["name"]


def compare(cluster: Cluster, application: str, wanted: Sequence[Object]) -> Changes:
    """What deploying would change; asks the cluster by dry runs, so that it refuses now what it would
    refuse later. Raises NotOurs, MissingSecrets, OwnedByOthers and ClusterError."""
    live = owned(cluster, application)
    _refuse_foreign(cluster, application, wanted, live)
    _refuse_missing_secrets(cluster, wanted)
    after = {identity(item): cluster.apply(item, dry_run=True) for item in wanted}
    changed = {
        key: differences.compare(live[key], item) if key in live else ()
        for key, item in after.items()
        if key not in live or _differs(live[key], item)
    }
    removed = _unneeded(cluster, application, wanted, live)
    return Changes(
        application=application,
        wanted=tuple(wanted),
        shown=tuple(_shown(live, after, changed, removed)),
        apply=tuple(item for item in wanted if identity(item) in changed),
        remove=tuple(removed),
    )


def _differs(live: Object, after: Object) -> bool:
    """Also when all is equal but not ours yet, as after `kubectl apply`, and when a Job has failed."""
    ours = any(
        each.get("manager") == MANAGER and each.get("operation") == "Apply"
        for each in live["metadata"].get("managedFields", ())
    )
    return bool(differences.compare(live, after)) or not ours or state(live).failed


def _refuse_foreign(
    cluster: Cluster, application: str, wanted: Sequence[Object], live: dict[Identity, Object]
) -> None:
    missing = [identity(item) for item in wanted if identity(item) not in live]
    if foreign := [key for key in missing if cluster.get(*key) is not None]:
        raise NotOurs(foreign, application)


def _refuse_missing_secrets(cluster: Cluster, wanted: Sequence[Object]) -> None:
    given = {item["metadata"]["name"] for item in wanted if item["kind"] == "Secret"}
    needed = mounted(wanted, "secret", "secretName") - given
    if missing := [name for name in sorted(needed) if cluster.get("Secret", name) is None]:
        raise MissingSecrets(missing, cluster.namespace)


def _unneeded(
    cluster: Cluster, application: str, wanted: Sequence[Object], live: dict[Identity, Object]
) -> list[Object]:
    """What the application no longer has. A ConfigMap stays while a revision could start with it, a
    Secret while something wanted mounts it."""
    revisions = cluster.list("Revision", f"{objects.APPLICATION_LABEL}={names.label(application)}")
    needed = {identity(item) for item in wanted}
    needed |= {("ConfigMap", name) for name in mounted(revisions, "configMap", "name")}
    needed |= {("Secret", name) for name in mounted([*wanted, *revisions], "secret", "secretName")}
    return in_teardown_order([item for key, item in live.items() if key not in needed])


def in_teardown_order(found: Sequence[Object]) -> list[Object]:
    """What produces events goes first, what others refer to last."""
    return sorted(found, key=lambda item: (-apply_rank(item), item["metadata"]["name"]))


def _shown(
    live: dict[Identity, Object],
    after: dict[Identity, Object],
    changed: dict[Identity, tuple[str, ...]],
    removed: Sequence[Object],
) -> Iterator[Change]:
    """For a person: a ConfigMap that replaces another is a change of its content, not two objects."""
    replaced = _replaced(live, after)
    for (kind, name), lines in changed.items():
        before = replaced.get((kind, name))
        if before is not None:
            yield Change("change", kind, name, differences.compare(before, after[kind, name]))
        elif (kind, name) not in live:
            yield Change("create", kind, name)
        elif lines:
            yield Change("change", kind, name, lines)
        elif state(live[kind, name]).failed:
            yield Change("change", kind, name, ("it failed: it runs again",))
    stems = {(kind, _stem(name)) for kind, name in after if kind in _BY_CONTENT}
    for item in removed:
        kind, name = identity(item)
        if kind not in _BY_CONTENT or (kind, _stem(name)) not in stems:
            note = ("its data is lost",) if item["kind"] == "PersistentVolumeClaim" else ()
            yield Change("remove", *identity(item), note)


def _replaced(live: dict[Identity, Object], after: dict[Identity, Object]) -> dict[Identity, Object]:
    """New object with its content in its name → the one before, which live Services and Jobs still use."""
    used = mounted(
        [item for item in live.values() if item["kind"] in ("Service", "Job")], "configMap", "name"
    )
    before = {
        (kind, _stem(name)): item
        for (kind, name), item in live.items()
        if (kind == "ConfigMap" and name in used) or kind == "Job"
    }
    return {
        (kind, name): before[kind, _stem(name)]
        for kind, name in after
        if (kind, name) not in live and (kind, _stem(name)) in before
    }


def _stem(name: str) -> str:
    return name.rpartition("-")[0]


def execute(
    cluster: Cluster, changes: Changes, reason: str, tell: Tell, *, patience: Patience | None
) -> releases.Release | None:
    """Applies, waits, prunes and records; without `patience` it waits for the setup Job only, because a
    Trigger that exists before its offsets skips events. The release, or None if nothing is new."""
    sending = {identity(item) for item in changes.apply}
    for _, step in groupby(changes.wanted, key=apply_rank):
        stage = list(step)
        for item in stage:
            if identity(item) in sending:
                _clear(cluster, item, patience or Patience())
                cluster.apply(item)
                tell(*identity(item), "applied")
        awaited = stage if patience else [item for item in stage if item["kind"] == "Job"]
        wait(cluster, awaited, selector(changes.application), patience or Patience(), tell)
    for item in changes.remove:
        cluster.delete(item)
        tell(*identity(item), "removed")
    known = releases.history(cluster, changes.application)
    kept = changes.wanted_openly()
    if known and known[0].digest == releases.digest(kept):
        return None
    return releases.record(cluster, changes.application, kept, reason, known)


def _clear(cluster: Cluster, wanted: Object, patience: Patience) -> None:
    """A Job that failed is over: the next one of its name needs the place."""
    if wanted["kind"] == "Job":
        found = cluster.get(*identity(wanted))
        if found is not None and state(found).failed:
            cluster.delete(found)
            while cluster.get(*identity(wanted)) is not None:
                patience.pause(PAUSE)


def remove_all(cluster: Cluster, application: str, tell: Tell) -> int:
    """Everything that the application owns; how many objects."""
    found = in_teardown_order(list(owned(cluster, application).values()))
    past = [release.stored for release in releases.history(cluster, application)]
    for item in [*found, *past]:  # the releases last: while one is there, the application is known
        cluster.delete(item)
        tell(*identity(item), "removed")
    return len(found) + len(past)
