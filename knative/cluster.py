"""A namespace of a Kubernetes cluster, through the `kubernetes` package.

Called by `apply.py`, `waiting.py` and `cli/app.py`. Reads are plain; every write is a server-side apply
by the manager `tidemill`, with unknown fields refused, or a deletion of exactly the object that was
seen. Refusals become typed errors; no answer of the server is lost in them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import MissingExtra, TidemillError
from . import objects
from .objects import Object

MANAGER = "tidemill"
_SERVED = "serving.knative.dev/v1"
_SECONDS = 30.0  # for one answer

# kind -> (apiVersion, the word in URLs)
KINDS: Mapping[str, tuple[str, str]] = {
    "Secret": ("v1", "secrets"),
    "ConfigMap": ("v1", "configmaps"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Job": ("batch/v1", "jobs"),
    "Broker": (objects.EVENTING, "brokers"),
    "Service": (objects.SERVING, "services"),
    "DomainMapping": ("serving.knative.dev/v1beta1", "domainmappings"),
    "Trigger": (objects.EVENTING, "triggers"),
    "KafkaSource": ("sources.knative.dev/v1", "kafkasources"),
    "Revision": (objects.SERVING, "revisions"),
    "Pod": ("v1", "pods"),
}

Answer = TypeVar("Answer")


class ClusterError(TidemillError):
    """The cluster refused or did not answer. `code` is HTTP's, 0 without an answer."""

    def __init__(self, code: int, message: str, *, hint: str | None = None) -> None:
        self.code = code
        self.status = {401: 4, 403: 4, 404: 3, 409: 5}.get(code, 1)
        super().__init__(message, hint=hint)


class OwnedByOthers(TidemillError):
    """Another manager set fields to other values; `fields`: (manager, path)."""

    status = 5

    def __init__(self, what: str, fields: tuple[tuple[str, str], ...]) -> None:
        self.what, self.fields = what, fields
        listed = "; ".join(f"{path} belongs to {manager}" for manager, path in fields)
        super().__init__(
            f"{what} was changed by somebody else: {listed}",
            hint=f"say the same in the application's files, or take it back; who set what: kubectl get "
            f"{what.replace('/', ' ')} -o yaml --show-managed-fields",
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace. `context` is its name in the kubeconfig."""

    client: Any
    context: str
    namespace: str

    def get(self, kind: str, name: str) -> Object | None:
        try:
            return self._ask("get", kind, name)
        except ClusterError as error:
            if error.code == 404 and not isinstance(error, NotInstalled):
                return None
            raise

    def list(self, kind: str, selector: str) -> list[Object]:
        """Those with the labels; with kind and version, which a list leaves out."""
        found = self._ask("get", kind, None, label_selector=selector)
        head = {"apiVersion": KINDS[kind][0], "kind": kind}
        return [{**head, **item} for item in found["items"]]

    def apply(self, found: Object, *, dry_run: bool = False) -> Object:
        """Makes or changes an object; what it becomes. Raises OwnedByOthers."""
        return self._ask(
            "patch",
            found["kind"],
            found["metadata"]["name"],
            body=found,
            content_type="application/apply-patch+yaml",
            field_manager=MANAGER,
            dry_run="All" if dry_run else None,
            query_params=[("fieldValidation", "Strict")],
        )

    def delete(self, found: Object) -> None:
        """Takes away the object that was seen, and what Kubernetes made for it; not a newer one of its
        name."""
        seen = {"preconditions": {"uid": found["metadata"]["uid"]}, "propagationPolicy": "Background"}
        try:
            self._ask("delete", found["kind"], found["metadata"]["name"], body=seen)
        except ClusterError as error:
            if error.code != 404:
                raise

    def _ask(self, method: str, kind: str, name: str | None, **more: Any) -> Object:
        version, plural = KINDS[kind]
        root = "/api" if version == "v1" else "/apis"
        path = f"{root}/{version}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

        def call() -> Object:
            raw = self.client.request(method, path, serialize=False, _request_timeout=_SECONDS, **more)
            answer: Object = json.loads(raw.data)
            return answer

        return _translated(call, f"{kind}/{name}" if name else plural, version)

    def close(self) -> None:
        self.client.client.close()

    def logs(self, pod: str, container: str, **query: Any) -> str:
        """What a container wrote."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        asked = [("container", container), *((key, str(value)) for key, value in query.items())]

        def call() -> str:
            raw = self.client.request(
                "get", path, serialize=False, _request_timeout=_SECONDS, query_params=asked
            )
            text: bytes = raw.data
            return text.decode(errors="replace")

        return _translated(call, f"the log of {pod}", "v1")


class NotInstalled(ClusterError):
    """The cluster does not know the kind at all."""

    def __init__(self, version: str) -> None:
        part = {"serving": "Knative Serving", "eventing": "Knative Eventing"}.get(version.partition(".")[0])
        part = part or ("Knative's Kafka source" if version.startswith("sources.") else version)
        super().__init__(404, f"the cluster does not have {part} ({version})")


def connect(context: str | None, namespace: str | None) -> Cluster:
    """The cluster of a kubeconfig's context. Raises MissingExtra and ClusterError."""
    try:
        from kubernetes import client, config
        from kubernetes.dynamic import DynamicClient
    except ImportError:
        raise MissingExtra("kubernetes", "knative", "a cluster") from None

    # Said again at each call: the package reads the variable only once, when it is imported.
    file = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        contexts, active = config.list_kube_config_contexts(file)
        chosen = next((each for each in contexts if each["name"] == context), None) if context else active
        if chosen is None:
            known = ", ".join(sorted(each["name"] for each in contexts))
            raise ClusterError(404, f"the kubeconfig has no context '{context}'", hint=f"it has: {known}")
        settings = client.Configuration()
        config.load_kube_config(file, context=chosen["name"], client_configuration=settings)
    except config.ConfigException as error:
        raise ClusterError(
            0, f"there is no usable kubeconfig: {error}", hint="set KUBECONFIG, or choose one with --context"
        ) from None
    settings.retries = False
    space = namespace or chosen["context"].get("namespace") or "default"
    # Every path is known: nothing has to be discovered, and no cache file is written.
    dynamic = DynamicClient(client.ApiClient(settings), discoverer=lambda *_: None)
    return Cluster(dynamic, chosen["name"], space)


def _translated(call: Callable[[], Answer], what: str, version: str) -> Answer:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except ApiException as error:
        raise _refusal(error.status, error.body, what, version) from None
    except (HTTPError, OSError) as error:
        raise ClusterError(0, f"the cluster does not answer ({what}): {error}") from None


def _refusal(code: int, body: Any, what: str, version: str) -> TidemillError:
    try:
        answer = json.loads(body or "{}")
    except ValueError:
        answer = {}
    message = answer.get("message") or str(body)
    causes = (answer.get("details") or {}).get("causes") or ()
    fields = tuple(
        (str(cause.get("message", "")).removeprefix("conflict with ").partition(" using")[0].strip('"'), path)
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict" and (path := str(cause.get("field", "")))
    )
    if fields:
        return OwnedByOthers(what, fields)
    if code == 404 and (not answer or "could not find the requested resource" in message):
        return NotInstalled(version)
    hint = "the namespace must exist: kubectl create namespace" if "namespaces " in message else None
    return ClusterError(
        code, f"{what}: the cluster answers {code}: {message}", hint=hint if code == 404 else None
    )
