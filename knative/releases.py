"""What was deployed before: one immutable ConfigMap for each release of an application.

Called by `apply.py` and `cli/app.py`. A release holds the objects as they were applied, without Secrets,
so that any of the last ones can be applied again as a whole.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from . import names, objects
from .cluster import Cluster
from .objects import Object

RELEASE_LABEL = "tidemill.dev/release"
KEPT = 10
_FILE = "objects.json.gz"


@dataclass(frozen=True, slots=True)
class Release:
    """One state of an application that a cluster had. `stored` is the ConfigMap that holds it."""

    number: int
    time: str
    reason: str
    digest: str
    stored: Object

    def objects(self) -> tuple[Object, ...]:
        raw = gzip.decompress(base64.b64decode(self.stored["binaryData"][_FILE]))
        return tuple(json.loads(raw))


def history(cluster: Cluster, application: str) -> list[Release]:
    """The releases that are kept, the newest first."""
    label = objects.application_labels(application)[objects.APPLICATION_LABEL]
    found = cluster.list("ConfigMap", f"{objects.APPLICATION_LABEL}={label},{RELEASE_LABEL}")
    return sorted(map(_release, found), key=lambda release: -release.number)


def _release(stored: Object) -> Release:
    data, number = stored["data"], int(stored["metadata"]["labels"][RELEASE_LABEL])
    return Release(number, data["time"], data["reason"], data["digest"], stored)


def record(
    cluster: Cluster, application: str, found: Sequence[Object], reason: str, known: Sequence[Release]
) -> Release:
    """Keeps a state, and lets the oldest go."""
    raw = json.dumps(list(found), separators=(",", ":")).encode()
    number = known[0].number + 1 if known else 1
    stored = {
        **objects.kind("v1", "ConfigMap"),
        "metadata": objects.metadata(
            names.named(application, "release", str(number)),
            application,
            cluster.namespace,
            labels={RELEASE_LABEL: str(number)},
        ),
        "data": {
            "digest": digest(found),
            "reason": reason,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "binaryData": {_FILE: base64.b64encode(gzip.compress(raw, mtime=0)).decode()},
        "immutable": True,
    }
    release = _release(cluster.apply(stored))
    for old in known[KEPT - 1 :]:
        cluster.delete(old.stored)
    return release


def digest(found: Sequence[Object]) -> str:
    """What two equal states have alike."""
    return names.digest(json.dumps(list(found), sort_keys=True), 16)
