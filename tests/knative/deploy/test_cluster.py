"""The stand-in API server keeps Kubernetes' rules, seen through the `kubernetes` package and `Cluster`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from support.api_server import ApiServer
from support.knative_cluster import ready

from tidemill.knative.cluster import Cluster, ClusterError, NotInstalled, OwnedByOthers, connect

Object = dict[str, Any]


def config_map(name: str = "c", **data: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": {"of": "me"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def broker(**more: Any) -> Object:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "name": "k", "namespace": "default"}
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"config": config, **more},
    }


def test_applying_twice_changes_nothing(cluster: Cluster) -> None:
    first = cluster.apply(config_map(a="1"))
    assert cluster.apply(config_map(a="1")) == first
    again = cluster.apply(config_map(a="2"))
    assert again["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    assert again["metadata"]["uid"] == first["metadata"]["uid"]


def test_a_field_that_is_no_longer_applied_goes_and_others_fields_stay(
    cluster: Cluster, server: ApiServer
) -> None:
    server.seed({**config_map(theirs="1"), "metadata": {"name": "c", "namespace": "default"}})
    cluster.apply(config_map(a="1", b="2"))
    found = cluster.apply(config_map(b="2"))
    assert found["data"] == {"theirs": "1", "b": "2"}
    assert cluster.get("ConfigMap", "c") == found


def test_another_managers_value_is_a_conflict_that_names_it(cluster: Cluster, server: ApiServer) -> None:
    server.seed(config_map(a="theirs"), manager="argocd")
    with pytest.raises(OwnedByOthers) as refused:
        cluster.apply(config_map(a="mine"))
    assert refused.value.fields == (("argocd", ".data.a"),)
    assert refused.value.status == 5
    assert cluster.apply(config_map(a="theirs"))["data"] == {"a": "theirs"}  # the same value is no conflict


def test_a_dry_run_shows_and_keeps_nothing(cluster: Cluster) -> None:
    assert cluster.apply(config_map(a="1"), dry_run=True)["data"] == {"a": "1"}
    assert cluster.get("ConfigMap", "c") is None


def test_unknown_fields_are_refused(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="delivry") as refused:
        cluster.apply(broker(delivry={}))
    # With the CRDs at hand the server itself refuses; without them its webhook does.
    assert refused.value.code in (400, 422)


def test_defaults_of_webhooks_survive_a_second_apply(cluster: Cluster) -> None:
    first = cluster.apply(broker())
    assert first["spec"]["delivery"]["retry"] == 10
    assert cluster.apply(broker()) == {**first, "status": cluster.get("Broker", "b")["status"]} | {  # type: ignore[index]
        "metadata": cluster.get("Broker", "b")["metadata"]  # type: ignore[index]
    }


def test_immutable_things_stay(cluster: Cluster) -> None:
    cluster.apply({**config_map(a="1"), "immutable": True})
    with pytest.raises(ClusterError, match="immutable") as refused:
        cluster.apply({**config_map(a="2"), "immutable": True})
    assert refused.value.code == 422
    cluster.apply(broker())
    changed = copy.deepcopy(broker())
    changed["spec"]["config"]["name"] = "other"
    with pytest.raises(ClusterError, match=r"spec\.config"):
        cluster.apply(changed)


def test_generation_follows_the_spec_only(cluster: Cluster, server: ApiServer) -> None:
    cluster.apply(broker())
    found = cluster.get("Broker", "b") or {}
    assert found["status"] == ready(found)
    server.settle = lambda server, found: None
    labelled = copy.deepcopy(broker())
    labelled["metadata"]["labels"] = {"a": "b"}
    assert cluster.apply(labelled)["metadata"]["generation"] == 1
    changed = cluster.apply(broker(delivery={"retry": 3}))
    assert changed["metadata"]["generation"] == 2
    assert changed["status"]["observedGeneration"] == 1


def test_lists_are_chosen_by_labels(cluster: Cluster) -> None:
    for name, of in (("x", "me"), ("y", "you")):
        item = config_map(name)
        item["metadata"]["labels"] = {"of": of}
        cluster.apply(item)
    assert [item["metadata"]["name"] for item in cluster.list("ConfigMap", "of=me")] == ["x"]
    assert [item["metadata"]["name"] for item in cluster.list("ConfigMap", "of in (me,you)")] == ["x", "y"]
    assert {item["kind"] for item in cluster.list("ConfigMap", "of")} == {"ConfigMap"}


def test_only_the_object_that_was_seen_is_deleted(cluster: Cluster) -> None:
    seen = cluster.apply(config_map(a="1"))
    cluster.delete(seen)
    cluster.delete(seen)  # gone already
    newer = cluster.apply(config_map(a="1"))
    with pytest.raises(ClusterError) as refused:
        cluster.delete(seen)
    assert refused.value.code == 409
    assert cluster.get("ConfigMap", "c") == newer


def test_refusals_say_what_is_wrong(
    cluster: Cluster, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=r'namespaces "nowhere" not found') as refused:
        connect(None, "nowhere").apply({**config_map(), "metadata": {"name": "c", "namespace": "nowhere"}})
    assert refused.value.status == 3
    server.kinds = tuple(kind for kind in server.kinds if "eventing" not in kind.version)
    with pytest.raises(NotInstalled, match="Knative Eventing"):
        cluster.list("Broker", "a")
    with pytest.raises(ClusterError, match="no context 'else'"):
        connect("else", None)
    (tmp_path / "kubeconfig").write_text(server.kubeconfig().replace("right", "wrong"))
    with pytest.raises(ClusterError, match="Unauthorized") as refused:
        connect(None, None).get("ConfigMap", "c")
    assert refused.value.status == 4
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="no usable kubeconfig"):
        connect(None, None)


def test_the_packages_own_discovery_and_watch_work(
    cluster: Cluster, server: ApiServer, tmp_path: Path
) -> None:
    from kubernetes import client, config, watch
    from kubernetes.dynamic import DynamicClient

    settings = client.Configuration()
    config.load_kube_config(str(tmp_path / "kubeconfig"), client_configuration=settings)
    dynamic = DynamicClient(client.ApiClient(settings), cache_file=str(tmp_path / "cache.json"))
    brokers = dynamic.resources.get(api_version="eventing.knative.dev/v1", kind="Broker")
    brokers.create(body=broker(), namespace="default")
    found = brokers.get(name="b", namespace="default")
    assert found.metadata.generation == 1
    cluster.delete(cluster.get("Broker", "b") or {})
    events = watch.Watch().stream(
        client.CustomObjectsApi(client.ApiClient(settings)).list_namespaced_custom_object,
        "eventing.knative.dev",
        "v1",
        "default",
        "brokers",
        resource_version="0",
        timeout_seconds=1,
    )
    seen = []
    for event in events:
        seen.append(event["type"])
        if event["type"] == "DELETED":
            break
    assert (seen[0], seen[-1]) == ("ADDED", "DELETED")
