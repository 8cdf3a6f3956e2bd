"""A stand-in for Kubernetes' API server, for tests that drive it with the real `kubernetes` package.

It is not kube-apiserver. It has discovery, create, read, replace, patch, delete, list by labels, watch,
dry runs, resourceVersion conflicts, generations, finalizers, immutable ConfigMaps and Jobs, the status
subresource, server-side apply (`field_sets.py`), and strict field validation: against Knative's CRDs
where they are (`crd_schemas.py`), else against Tidemill's own shapes. Knative's webhooks and controllers
are two hooks, `admit` and `settle`; `knative_cluster.py` has a small version of both.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import yaml
from support import crd_schemas, field_sets

from tidemill.knative import shapes

Object = dict[str, Any]


class Kind(NamedTuple):
    version: str
    plural: str
    kind: str
    namespaced: bool = True


KINDS = (
    Kind("v1", "namespaces", "Namespace", False),
    Kind("v1", "configmaps", "ConfigMap"),
    Kind("v1", "secrets", "Secret"),
    Kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Kind("v1", "pods", "Pod"),
    Kind("v1", "events", "Event"),
    Kind("batch/v1", "jobs", "Job"),
    Kind("serving.knative.dev/v1", "services", "Service"),
    Kind("serving.knative.dev/v1", "revisions", "Revision"),
    Kind("serving.knative.dev/v1beta1", "domainmappings", "DomainMapping"),
    Kind("eventing.knative.dev/v1", "brokers", "Broker"),
    Kind("eventing.knative.dev/v1", "triggers", "Trigger"),
    Kind("sources.knative.dev/v1", "kafkasources", "KafkaSource"),
)
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, reason: str, message: str, causes: list[Object] | None = None) -> None:
        super().__init__(message)
        details = {"causes": causes} if causes else {}
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


class Hangup(Exception):
    """A test's way to cut the connection instead of answering."""


class Address(NamedTuple):
    kind: Kind
    namespace: str | None
    name: str


class Request(NamedTuple):
    method: str
    kind: Kind
    namespace: str | None
    name: str | None
    subresource: str | None
    query: dict[str, str]
    content_type: str
    manager: str
    body: Any

    @property
    def address(self) -> Address:
        return Address(self.kind, self.namespace, self.name or self.body["metadata"]["name"])


@dataclass
class Entry:
    """An object and who owns its fields."""

    object: Object
    managers: field_sets.Managers = field(default_factory=dict)

    def shown(self) -> Object:
        found = copy.deepcopy(self.object)
        found["metadata"]["managedFields"] = field_sets.managed_fields(found, self.managers)
        return found


class ApiServer:
    """Objects in memory behind HTTP on this machine. `before` and `after` see every request."""

    def __init__(self, *, token: str | None = None, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.kinds = kinds
        self.token = token
        self.entries: dict[Address, Entry] = {}
        self.log: list[tuple[int, str, Address, Object]] = []
        self.before: Callable[[Request], None] = lambda request: None
        self.pod_logs: dict[str, str] = {}  # pod -> what it wrote; `sinceSeconds` is not looked at
        self.after: Callable[[Request], None] = lambda request: None
        self.admit: Callable[[Object, Object | None], None] = lambda new, old: None
        self.settle: Callable[[ApiServer, Object], None] = lambda server, found: None
        self._version = 0
        self._changed = threading.Condition(threading.RLock())
        server = self

        class Handler(_Handler):
            api = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.stopped = False

    def __enter__(self) -> ApiServer:
        self._thread.start()
        self.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def kubeconfig(self, namespace: str | None = None) -> str:
        """The text of a configuration whose context 'test' is this server."""
        context = {"cluster": "test", "user": "test", **({"namespace": namespace} if namespace else {})}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": self.url}}],
                "users": [{"name": "test", "user": {"token": self.token or "t"}}],
                "contexts": [{"name": "test", "context": context}],
            }
        )

    # ---- for tests: the cluster's side

    def seed(self, found: Object, manager: str = "seed") -> Object:
        """Puts an object there as some other client would."""
        with self._changed:
            kind = self.kind_of(found)
            meta = found["metadata"]
            space = meta.get("namespace", "default") if kind.namespaced else None
            request = Request("POST", kind, space, None, None, {}, "", manager, copy.deepcopy(found))
            return self._create(request)

    def set_status(self, found: Object, status: Object) -> None:
        """What a controller reports."""
        with self._changed:
            address = self.address_of(found)
            new = {**copy.deepcopy(self.entries[address].object), "status": status}
            self._store(address, new, self.entries[address].managers, "MODIFIED")

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        found = [entry for at, entry in self.entries.items() if at.kind.kind == kind and at.name == name]
        found = [
            entry for entry in found if entry.object["metadata"].get("namespace", namespace) == namespace
        ]
        return found[0].object if found else None

    def all(self, kind: str) -> list[Object]:
        return [entry.object for at, entry in self.entries.items() if at.kind.kind == kind]

    def kind_of(self, found: Object) -> Kind:
        for kind in self.kinds:
            if (kind.version, kind.kind) == (found.get("apiVersion"), found.get("kind")):
                return kind
        raise Refused(400, "BadRequest", f"no kind {found.get('kind')} in {found.get('apiVersion')}")

    def address_of(self, found: Object) -> Address:
        meta = found["metadata"]
        return Address(self.kind_of(found), meta.get("namespace"), meta["name"])

    # ---- requests

    def answer(self, request: Request) -> Object:
        with self._changed:
            self.before(request)
            answers = {
                "GET": self._read,
                "POST": self._create,
                "PUT": self._replace,
                "PATCH": self._patch,
                "DELETE": self._delete,
            }
            answer = answers[request.method](request)
            self.after(request)
            return answer

    def _read(self, request: Request) -> Object:
        return self.list(request) if request.name is None else self._entry(request.address).shown()

    def _entry(self, address: Address) -> Entry:
        entry = self.entries.get(address)
        if entry is None:
            group = address.kind.version.rpartition("/")[0]
            title = f"{address.kind.plural}.{group}" if group else address.kind.plural
            raise Refused(404, "NotFound", f'{title} "{address.name}" not found')
        return entry

    def list(self, request: Request) -> Object:
        found = [
            entry.shown()
            for at, entry in sorted(self.entries.items(), key=lambda item: item[0].name)
            if _fits(at, entry.object, request)
        ]
        return {
            "apiVersion": request.kind.version,
            "kind": f"{request.kind.kind}List",
            "metadata": {"resourceVersion": str(self._version)},
            "items": found,
        }

    def watch(self, request: Request) -> Iterator[Object]:
        """Changes after a resourceVersion, until the time is over."""
        seen = int(request.query.get("resourceVersion") or 0)
        limit = float(request.query.get("timeoutSeconds") or 60)
        while True:
            with self._changed:
                fresh = [each for each in self.log if each[0] > seen and _fits(each[2], each[3], request)]
                if not fresh and (self.stopped or not self._changed.wait(limit)):
                    return
            for version, type_, _, found in fresh:
                seen = version
                yield {"type": type_, "object": found}

    def _create(self, request: Request) -> Object:
        found = self._checked(request, request.body)
        address = request.address
        if address in self.entries:
            raise Refused(409, "AlreadyExists", f'{address.kind.plural} "{address.name}" already exists')
        return self._write(
            request, address, found, field_sets.update(_bare(found), {}, found, request.manager)
        )

    def _replace(self, request: Request) -> Object:
        entry = self._entry(request.address)
        live = entry.object
        found = self._checked(request, request.body)
        version = found["metadata"].get("resourceVersion")
        if version and version != live["metadata"]["resourceVersion"]:
            raise Refused(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on "{request.name}": the object has been modified',
            )
        return self._rewrite(request, entry, found)

    def _patch(self, request: Request) -> Object:
        if request.content_type == "application/apply-patch+yaml":
            return self._apply(request)
        if request.content_type != "application/merge-patch+json":
            raise Refused(
                415, "UnsupportedMediaType", f"this stand-in does not patch by {request.content_type}"
            )
        entry = self._entry(request.address)
        return self._rewrite(request, entry, _merge_patch(copy.deepcopy(entry.object), request.body))

    def _rewrite(self, request: Request, entry: Entry, found: Object) -> Object:
        live, status = entry.object, request.subresource == "status"
        kept = (
            {**live, "status": found.get("status", {})} if status else {**found, "status": live.get("status")}
        )
        found = copy.deepcopy({key: value for key, value in kept.items() if value is not None})
        managers = field_sets.update(live, entry.managers, found, request.manager, status=status)
        return self._write(request, request.address, found, managers)

    def _apply(self, request: Request) -> Object:
        if not request.query.get("fieldManager"):
            raise Refused(
                422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value'
            )
        if request.body["metadata"].get("managedFields"):
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        desired = self._checked(request, request.body)
        entry = self.entries.get(request.address)
        try:
            found, managers = field_sets.apply(
                entry.object if entry else None,
                entry.managers if entry else {},
                desired,
                request.query["fieldManager"],
                force=request.query.get("force") == "true",
            )
        except field_sets.Conflicts as conflicts:
            raise _conflict(conflicts, request.kind.version) from None
        return self._write(request, request.address, found, managers)

    def _checked(self, request: Request, body: Object) -> Object:
        found = copy.deepcopy(body)
        if request.kind.namespaced:
            space = found["metadata"].setdefault("namespace", request.namespace)
            if space != request.namespace:
                raise Refused(
                    400,
                    "BadRequest",
                    "the namespace of the object does not match the namespace of the request",
                )
            if Address(self.kinds[0], None, space) not in self.entries:
                raise Refused(404, "NotFound", f'namespaces "{space}" not found')
        if request.query.get("fieldValidation") == "Strict" and (faults := _faults(found)):
            unknown = [fault for fault in faults if "unknown" in fault]
            code, reason = (400, "BadRequest") if unknown else (422, "Invalid")
            raise Refused(
                code,
                reason,
                f"{found['kind']} cannot be handled: strict decoding error: {'; '.join(faults)}",
            )
        return found

    def _write(
        self, request: Request, address: Address, found: Object, managers: field_sets.Managers
    ) -> Object:
        entry = self.entries.get(address)
        old = entry.object if entry else None
        self.admit(found, old)
        if old is not None:
            _refuse_immutable(found, old)
        meta = found["metadata"]
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        before = 0 if old is None else old["metadata"]["generation"]
        meta["generation"] = before + (old is None or found.get("spec") != old.get("spec"))
        if request.query.get("dryRun") == "All":
            return Entry(found, managers).shown()
        unchanged = entry is not None and found == old and managers == entry.managers
        if not unchanged:
            self._store(address, found, managers, "ADDED" if old is None else "MODIFIED")
            if request.subresource is None:
                self.settle(self, found)
        return self.entries[address].shown() if address in self.entries else found

    def _store(self, address: Address, found: Object, managers: field_sets.Managers, event: str) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        meta = found["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.entries.pop(address, None)
            event = "DELETED"
        else:
            self.entries[address] = Entry(found, managers)
        self.log.append((self._version, event, address, copy.deepcopy(found)))
        self._changed.notify_all()

    def _delete(self, request: Request) -> Object:
        entry = self._entry(request.address)
        wanted = (request.body or {}).get("preconditions", {}).get("uid")
        if wanted and wanted != entry.object["metadata"]["uid"]:
            raise Refused(409, "Conflict", "the UID in the precondition does not match the UID in record")
        if request.query.get("dryRun") != "All":
            found = copy.deepcopy(entry.object)
            found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self._store(request.address, found, entry.managers, "MODIFIED")
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    # ---- discovery

    def discovery(self, path: str) -> Object:
        groups = sorted({kind.version for kind in self.kinds if "/" in kind.version})
        if path == "/version":
            return {"major": "1", "minor": "33", "gitVersion": "v1.33.0-stand-in"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(map(_group, groups))}
        version = path.removeprefix("/apis/").removeprefix("/api/")
        found = [kind for kind in self.kinds if kind.version == version]
        if not found:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        resources = [
            {
                "name": each.plural,
                "singularName": "",
                "namespaced": each.namespaced,
                "kind": each.kind,
                "verbs": VERBS,
            }
            for each in found
        ]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": resources,
        }


def _group(version: str) -> Object:
    name = version.partition("/")[0]
    shown = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": name, "versions": [shown], "preferredVersion": shown}


def _bare(found: Object) -> Object:
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": {}}


def _faults(found: Object) -> list[str]:
    """Of the CRD's schema where it is here; of our own shapes for Kubernetes' kinds."""
    faults = crd_schemas.object_misfits({key: value for key, value in found.items() if key != "status"})
    if faults is not None:
        return faults
    meta = {key: value for key, value in found["metadata"].items() if key not in ("uid", "resourceVersion")}
    if found["kind"] == "Namespace":
        return []
    return [f"{path}: {message}" for path, message in shapes.misfits({**found, "metadata": meta})]


def _refuse_immutable(found: Object, old: Object) -> None:
    """What Kubernetes' own validation keeps as it was; Knative's webhooks are in `admit`."""
    fixed = ["data", "binaryData", "immutable"] if old.get("immutable") else []
    changed = [name for name in fixed if found.get(name) != old.get(name)]
    if found["kind"] == "Job" and found["spec"].get("template") != old["spec"].get("template"):
        changed.append("spec.template")
    if changed:
        raise Refused(422, "Invalid", f"{changed[0]}: Forbidden: field is immutable when `immutable` is set")


def _conflict(conflicts: field_sets.Conflicts, version: str) -> Refused:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}" using {version}',
            "field": path,
        }
        for manager, path in conflicts.found
    ]
    listed = ", ".join(
        f'conflict with "{manager}" using {version}: {path}' for manager, path in conflicts.found
    )
    count = len(causes)
    return Refused(
        409, "Conflict", f"Apply failed with {count} conflict{'s' * (count > 1)}: {listed}", causes
    )


def _merge_patch(live: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = live if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merge_patch(found.get(key), value)
    return found


def _fits(at: Address, found: Object, request: Request) -> bool:
    if at.kind != request.kind or (request.namespace and at.namespace != request.namespace):
        return False
    fields = request.query.get("fieldSelector", "")
    if fields and fields != f"metadata.name={at.name}":
        return False
    labels = found["metadata"].get("labels", {})
    return all(_selects(part.strip(), labels) for part in _split(request.query.get("labelSelector", "")))


def _split(selector: str) -> list[str]:
    return re.split(r",(?![^(]*\))", selector) if selector else []


def _selects(part: str, labels: dict[str, str]) -> bool:
    if among := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", part):
        inside = labels.get(among[1]) in [value.strip() for value in among[3].split(",")]
        return inside if among[2] == "in" else not inside
    if "!=" in part:
        key, _, value = part.partition("!=")
        return labels.get(key) != value
    if "=" in part:
        key, _, value = part.partition("=")
        return labels.get(key) == value.lstrip("=")
    return part[1:] not in labels if part.startswith("!") else part in labels


class _Handler(BaseHTTPRequestHandler):
    """HTTP around an ApiServer."""

    api: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # two small writes an answer would wait 40 ms for each other

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            request = self._request(body)
            if isinstance(request, str):
                self._answer(200, self.api.discovery(request))
            elif request.subresource == "log":
                self._send(200, self.api.pod_logs[request.name or ""].encode(), "text/plain")
            elif request.query.get("watch") in ("true", "True", "1"):
                self._watch(request)
            else:
                code = 201 if request.method == "POST" else 200
                self._answer(code, self.api.answer(request))
        except Refused as refused:
            self._answer(refused.code, refused.body)
        except Hangup:
            self.close_connection = True
            self.connection.close()

    def _request(self, body: bytes) -> Request | str:
        """The request, or the path of discovery."""
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        head = 2 if parts[0] == "api" else 3
        version, rest = "/".join(parts[1:head]), parts[head:]
        if not rest:
            return url.path.rstrip("/")
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = next(
            (each for each in self.api.kinds if (each.version, each.plural) == (version, rest[0])), None
        )
        if kind is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else None
        agent = query.get("fieldManager") or self.headers.get("User-Agent", "").partition("/")[0]
        content = self.headers.get("Content-Type", "")
        if "protobuf" in content:
            raise Refused(415, "UnsupportedMediaType", "this stand-in reads JSON and YAML only")
        loaded = yaml.safe_load(body) if "yaml" in content else json.loads(body) if body else None
        return Request(
            self.command,
            kind,
            namespace,
            name,
            rest[2] if len(rest) > 2 else None,
            query,
            content,
            agent,
            loaded,
        )

    def _answer(self, code: int, body: Object) -> None:
        self._send(code, json.dumps(body).encode(), "application/json")

    def _send(self, code: int, raw: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _watch(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.api.watch(request):
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
