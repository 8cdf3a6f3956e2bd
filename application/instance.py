"""instance.yaml and secrets.yaml, which live outside the application.

Called by the loader, after substitution. Nothing of a secret's content enters a message; secrets
are carried on only to be checked for existence and handed to the platform.
"""

from __future__ import annotations

from typing import Any

from .model import Cluster, Instance, Secrets
from .problems import Problems
from .reading import Reader
from .yaml import Node, plain

CLUSTERS: tuple[Cluster, ...] = ("embedded", "kafka", "pulsar", "pravega", "noop")


def read_instance(node: Node, problems: Problems) -> Instance | None:
    root = Reader(node, "an instance file", ("instance",), problems, at=node.at)
    inner = root.required("instance")
    if inner is None:
        return None
    keys = ("streamingCluster", "computeCluster", "globals")
    reader = Reader(inner, "instance", keys, problems, at=inner.at)
    streaming, compute = (
        Reader(reader.mapping(key), key, ("type", "configuration"), problems, at=inner.at) for key in keys[:2]
    )
    if streaming.node:
        streaming.required("type")
    return Instance(
        cluster=streaming.choice("type", CLUSTERS) or "embedded",
        configuration=streaming.mapping("configuration"),
        compute=compute.choice("type", ("kubernetes", "none")) or "kubernetes",
        globals=reader.mapping("globals"),
    )


def read_secrets(node: Node, problems: Problems) -> Secrets | None:
    root = Reader(node, "a secrets file", ("secrets",), problems, at=node.at, opaque=True)
    if root.required("secrets") is None:
        return None
    found: dict[str, dict[str, Any]] = {}
    for item in root.list("secrets"):
        reader = Reader(item, "a secret", ("id", "name", "data"), problems, at=item.at, opaque=True)
        secret = reader.required_text("id", "Found secret without id")
        data = plain(reader.mapping("data")) or {}
        if secret in found:
            problems.add(f"Found duplicate secret id: {secret}", item.at)
        elif secret:
            found[secret] = data
    return Secrets(found)
