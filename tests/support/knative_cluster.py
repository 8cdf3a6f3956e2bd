"""What Knative does to objects, in small, for `api_server.py`: its webhooks' defaults, its status.

Called by tests of deployment. `admit` fills in and refuses what Knative's webhooks do for the kinds that
Tidemill writes; `settle` reports everything ready at once, makes Revisions, and finishes Jobs. Nothing
runs. A test that wants trouble replaces `settle`.
"""

from __future__ import annotations

import copy
from typing import Any

from support.api_server import ApiServer, Refused

Object = dict[str, Any]


def install(server: ApiServer) -> ApiServer:
    server.admit = admit
    server.settle = settle
    return server


def admit(new: Object, old: Object | None) -> None:
    spec = new.get("spec", {})
    match new["kind"]:
        case "Broker":
            spec.setdefault(
                "delivery", {"retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}
            )
            _fixed(new, old, "config")
        case "Trigger":
            new["metadata"].setdefault("labels", {})["eventing.knative.dev/broker"] = spec["broker"]
            _fixed(new, old, "broker")
        case "KafkaSource":
            _fixed(new, old, "consumerGroup")
        case "Service" if new["apiVersion"].startswith("serving"):
            _service(new, old)


def _fixed(new: Object, old: Object | None, name: str) -> None:
    if old is not None and new["spec"].get(name) != old["spec"].get(name):
        message = f'admission webhook "validation" denied the request: Immutable fields changed: spec.{name}'
        raise Refused(400, "BadRequest", message)


def _service(new: Object, old: Object | None) -> None:
    notes = new["metadata"].setdefault("annotations", {})
    notes.setdefault("serving.knative.dev/creator", "somebody")
    if old is None or new["spec"] != old["spec"]:
        notes["serving.knative.dev/lastModifier"] = "somebody"
    for container in new["spec"]["template"]["spec"]["containers"]:
        container.setdefault("readinessProbe", {"successThreshold": 1, "tcpSocket": {"port": 0}})
        container.setdefault("resources", {})
    new["spec"]["template"]["spec"].setdefault("enableServiceLinks", False)
    new["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])


def ready(found: Object, *types: str) -> Object:
    """A status that says: done with this generation."""
    return {
        "observedGeneration": found["metadata"]["generation"],
        "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", *types)],
    }


def settle(server: ApiServer, found: Object) -> None:
    match found["kind"]:
        case "Job":
            server.set_status(found, {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})
        case "Service":
            _revision(server, found)
        case "Broker" | "Trigger" | "KafkaSource" | "DomainMapping":
            server.set_status(found, ready(found))


def _revision(server: ApiServer, service: Object) -> None:
    """A revision for each change of the template, as Knative's configuration controller makes it."""
    meta, template = service["metadata"], service["spec"]["template"]
    before = (server.get("Service", meta["name"], meta["namespace"]) or {}).get("status", {})
    latest = before.get("latestCreatedRevisionName")
    known = server.get("Revision", latest, meta["namespace"]) if latest else None
    count = sum(
        each["metadata"]["labels"].get("serving.knative.dev/service") == meta["name"]
        for each in server.all("Revision")
    )
    if (
        known is None
        or known["spec"] != template["spec"]
        or known["metadata"]["annotations"] != template["metadata"]["annotations"]
    ):
        labels = {**template["metadata"].get("labels", {}), "serving.knative.dev/service": meta["name"]}
        latest = f"{meta['name']}-{count + 1:05d}"
        found = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {"name": latest, "namespace": meta["namespace"], "labels": labels},
            "spec": copy.deepcopy(template["spec"]),
        }
        found["metadata"]["annotations"] = dict(template["metadata"].get("annotations", {}))
        server.seed(found, "controller")
    status = ready(service, "ConfigurationsReady", "RoutesReady")
    host = f"{meta['name']}.{meta['namespace']}"
    local = meta["labels"].get("networking.knative.dev/visibility") == "cluster-local"
    status["url"] = f"http://{host}.svc.cluster.local" if local else f"http://{host}.example.com"
    status["latestCreatedRevisionName"] = status["latestReadyRevisionName"] = latest
    status["traffic"] = [{"revisionName": latest, "percent": 100, "latestRevision": True}]
    server.set_status(service, status)
