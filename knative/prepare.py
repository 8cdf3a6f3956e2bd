"""From an application's folder to everything that a cluster is to hold.

Called by `cli/app.py` for every command that starts from files. It asks no cluster, no registry and no
person. Values of secrets are in `Prepared.secrets` and nowhere else, so that what is written to files
can hold none.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..application.plan import Plan
from ..application.planner import Planned, study
from ..application.runnable import check_runnable
from ..errors import Problem, TidemillError, UsageError
from ..functions.placeholders import resolve
from . import names, secrets
from .objects import Object
from .options import IMAGE, RenderOptions
from .render import render
from .validate import check

# Knative's Brokers of class Kafka are the only ones that keep order; these streams have nothing like it.
_FOREIGN = ("pulsar", "pravega")
_OPEN = re.compile(r"\$\{\s*(?:globals|cluster)\.[^}]*\}")


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says."""

    directory: Path
    name: str | None = None
    instance: Path | None = None
    secrets: Path | None = None
    namespace: str = "default"
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Valid objects in apply order. `secrets` are the Secrets whose values were given, `external` the
    names of those that the objects refer to and that somebody else makes. `assets` would have to be made."""

    application: str
    namespace: str
    image: str
    objects: tuple[Object, ...]
    secrets: tuple[Object, ...] = field(repr=False)
    external: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    notes: tuple[Problem, ...] = ()


class MissingProgram(TidemillError):
    """Containers would start a program that this Tidemill does not have."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        super().__init__(
            f"the containers of this application would run {', '.join(modules)}, "
            "which this version of Tidemill does not have; nothing was changed",
            hint="--dry-run=client or --target DIR show what would be deployed; tidemill run runs it here",
        )


class UnmadeAssets(TidemillError):
    """The application wants assets that the setup Job would refuse to make."""

    def __init__(self, assets: Sequence[str]) -> None:
        self.assets = tuple(assets)
        super().__init__(
            f"this version of Tidemill makes no assets: {', '.join(assets)}; nothing was changed",
            hint="make them yourself, and write creation-mode: none",
        )


def refuse_unfinished(prepared: Prepared) -> None:
    """What can be planned and shown, and would not work on a cluster. Raises MissingProgram and
    UnmadeAssets."""
    if missing := missing_programs(prepared.objects):
        raise MissingProgram(missing)
    if prepared.assets:
        raise UnmadeAssets(prepared.assets)


def prepare(request: Request) -> Prepared:
    """Plan, render and validate. Raises ApplicationError, UsageError and InvalidManifests."""
    studied = study(request.directory, instance=request.instance, secrets=request.secrets, name=request.name)
    check_runnable(studied)
    plan = studied.plan
    _refuse(plan)
    values = studied.application.secrets.values if studied.application.secrets else None
    image = request.image or IMAGE
    options = RenderOptions(
        namespace=request.namespace, image=image, bootstrap_servers=_kafka(studied, values or {})
    )
    found = render(plan, options)
    held = _secrets(plan, found, values, request.namespace)
    check([*held, *found])
    wanted = mounted(found, "secret", "secretName") - {item["metadata"]["name"] for item in held}
    return Prepared(
        application=plan.application,
        namespace=request.namespace,
        image=image,
        objects=tuple(found),
        secrets=tuple(held),
        external=tuple(sorted(wanted)),
        assets=tuple(asset.id for asset in plan.assets if asset.creation_mode != "none"),
        notes=studied.problems.notes,
    )


def _refuse(plan: Plan) -> None:
    if plan.cluster.type in _FOREIGN:
        raise UsageError(
            f"the streaming cluster is of type '{plan.cluster.type}'; on Knative topics are Kafka's",
            hint="use an instance of type 'kafka', or none for the cluster's own Kafka",
        )
    if still_open := sorted(set(_OPEN.findall(msgspec.json.encode(plan).decode()))):
        raise UsageError(
            f"these placeholders have no value: {', '.join(still_open)}",
            hint="give the instance that defines them: -i instance.yaml",
        )


def _kafka(studied: Planned, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Kafka's addresses where the instance takes them from a secret. Brokers read them from a ConfigMap,
    so they are the one value that cannot stay a reference."""
    admin = studied.plan.cluster.configuration.get("admin")
    stated = admin.get("bootstrap.servers") if isinstance(admin, dict) else None
    text = ",".join(stated) if isinstance(stated, list) else str(stated or "")
    if "${" not in text:
        return ()
    if not values:
        raise UsageError(f"Kafka's address is the placeholder {text}", hint="give its value: -s secrets.yaml")
    found = str(resolve(text, {"secrets": values}))
    return tuple(server.strip() for server in found.split(",") if server.strip())


def _secrets(
    plan: Plan, found: Sequence[Object], values: Mapping[str, Mapping[str, Any]] | None, namespace: str
) -> list[Object]:
    """Only those that something mounts: what the application does not name stays with its owner."""
    used = mounted(found, "secret", "secretName")
    needed = {
        identity: entry
        for identity, entry in (values or {}).items()
        if names.of_secret(plan.application, identity) in used
    }
    return secrets.render_secrets(plan.application, needed, namespace)


def mounted(found: Sequence[Object], kind: str, key: str) -> set[str]:
    """The names that volumes of one kind refer to."""
    return {volume[kind][key] for pod in pods(found) for volume in pod.get("volumes", ()) if kind in volume}


def pods(found: Sequence[Object]) -> Iterator[Mapping[str, Any]]:
    """The pod of every Service, Job and Revision among the objects."""
    for item in found:
        spec = item.get("spec", {})
        if "template" in spec:
            yield spec["template"].get("spec", {})
        elif item["kind"] == "Revision":
            yield spec


def missing_programs(found: Sequence[Object]) -> list[str]:
    """The modules that containers start and that are not part of this Tidemill, sorted."""
    started = {
        container["command"][2]
        for pod in pods(found)
        for container in pod["containers"]
        if container.get("command", ())[:2] == ["python", "-m"]
    }
    return sorted(module for module in started if not _runs(module))


def _runs(module: str) -> bool:
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{module}.__main__")
    return found is not None
