"""The pod of a unit, of the gateway and of the setup Job: one container of one image, and its mounts.

Called by `render.py`. Containers run as non-root on a read-only root without any capability; `/tmp`
is the only place that is always writable. The variables are those of `functions/environment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import names
from .objects import Object

CONFIG_FOLDER = "/etc/tidemill/config"
SECRETS_FOLDER = "/etc/tidemill/secrets"
STATE_FOLDER = "/persistent-state"  # where LangStream mounts its volumes
CODE_FOLDER = "/application"  # where the image holds the user's files
CONTAINER = "tidemill"  # its name in every pod
PORT = 8080
SERVICE_PORT = 8000  # where LangStream's service agents listen


@dataclass(frozen=True, slots=True)
class Workload:
    """What one container runs and finds. `secrets`: id → name of the Secret. `size` counts units of half
    a CPU and 512 MB. `port` None: it serves nothing. `claim`: the volume claim of its state folder."""

    module: str
    image: str
    config: str
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    size: int = 1
    port: int | None = PORT
    probed: bool = True
    claim: str | None = None


def pod(work: Workload) -> Object:
    """The part of a pod's spec that Knative and Jobs share."""
    return {
        "automountServiceAccountToken": False,  # nothing in it talks to the Kubernetes API
        "containers": [_container(work)],
        "volumes": [volume for volume, _ in _mounts(work)],
    }


def revision(work: Workload, concurrency: int, timeout: int) -> Object:
    """Both time-outs: a webhook fills in 300 s for the one that is missing."""
    return {
        "containerConcurrency": concurrency,
        "timeoutSeconds": timeout,
        "responseStartTimeoutSeconds": timeout,
        **pod(work),
    }


def _container(work: Workload) -> Object:
    found: Object = {
        "name": CONTAINER,
        "image": work.image,
        "command": ["python", "-m", work.module],
        "env": [{"name": name, "value": value} for name, value in _variables(work).items()],
        "resources": _resources(work.size),
        "securityContext": _security(),
        "volumeMounts": [mount for _, mount in _mounts(work)],
    }
    if work.port is not None:
        found["ports"] = [{"containerPort": work.port, "name": "http1"}]
        found.update(_probes(work.port) if work.probed else _open_port(work.port))
    return found


def _variables(work: Workload) -> dict[str, str]:
    found = {"HOME": "/tmp", "TIDEMILL_CODE": CODE_FOLDER, **work.variables}
    if work.secrets:
        found["TIDEMILL_SECRETS"] = SECRETS_FOLDER
    if work.claim is not None:
        found["TIDEMILL_STATE"] = STATE_FOLDER
    return found


def _resources(size: int) -> Object:
    """LangStream's unit. Memory is bounded as there; the CPU is not, for a bound slows the cold start."""
    memory = f"{512 * size}M"
    return {"requests": {"cpu": f"{500 * size}m", "memory": memory}, "limits": {"memory": memory}}


def _security() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _probes(port: int) -> Object:
    """`periodSeconds: 0` lets Knative's proxy ask many times a second: less of a cold start."""
    return {
        "readinessProbe": {
            "httpGet": {"path": "/health/readiness", "port": port},
            "periodSeconds": 0,
            "successThreshold": 1,
        },
        "livenessProbe": {
            "httpGet": {"path": "/health/liveness", "port": port},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }


def _open_port(port: int) -> Object:
    """A user's own server has no health paths; it is ready when it listens."""
    return {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 0, "successThreshold": 1}}


def _mounts(work: Workload) -> list[tuple[Object, Object]]:
    """Volumes with where they are mounted."""
    found = [
        _mount("config", CONFIG_FOLDER, {"configMap": {"name": work.config}}, read_only=True),
        _mount("tmp", "/tmp", {"emptyDir": {}}, read_only=False),
    ]
    for identity, secret in work.secrets.items():
        source = {"secret": {"secretName": secret}}
        volume = names.named("secret", identity)
        found.append(_mount(volume, f"{SECRETS_FOLDER}/{identity}", source, read_only=True))
    if work.claim is not None:
        source = {"persistentVolumeClaim": {"claimName": work.claim}}
        found.append(_mount("state", STATE_FOLDER, source, read_only=False))
    return found


def _mount(name: str, path: str, source: dict[str, Any], *, read_only: bool) -> tuple[Object, Object]:
    mount: Object = {"name": name, "mountPath": path}
    if read_only:
        mount["readOnly"] = True
    return {"name": name, **source}, mount
