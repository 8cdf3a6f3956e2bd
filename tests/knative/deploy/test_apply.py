"""Deployment against the stand-in: order, differences, ownership, interruption, waiting, undo."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import knative_cluster
from support.api_server import ApiServer, Hangup, Request

from tidemill.knative import apply, releases, waiting
from tidemill.knative.cluster import Cluster, ClusterError, OwnedByOthers
from tidemill.knative.prepare import Prepared, prepare
from tidemill.knative.prepare import Request as Asked
from tidemill.knative.waiting import NotReady, Patience

Object = dict[str, Any]
PIPELINE = """
topics:
  - {name: questions, creation-mode: create-if-not-exists}
  - {name: middle, creation-mode: create-if-not-exists}
  - {name: answers, creation-mode: create-if-not-exists}
pipeline:
  - type: compute
    id: one
    input: questions
    output: middle
    configuration: {fields: [{name: value.k, expression: "'PROMPT'"}]}
"""
SECOND = """
pipeline: [{type: identity, id: two, input: middle, output: answers}]
"""


class Shop:
    """An application's folder that changes, deployed again and again."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.told: list[tuple[str, str, str]] = []
        self.paused = 0
        folder.mkdir()
        self.write()

    def write(self, prompt: str = "PROMPT", second: str | None = SECOND) -> None:
        (self.folder / "first.yaml").write_text(PIPELINE.replace("PROMPT", prompt))
        (self.folder / "second.yaml").unlink(missing_ok=True)
        if second:
            (self.folder / "second.yaml").write_text(second)

    def prepare(self) -> Prepared:
        return prepare(Asked(self.folder, "shop"))

    def changes(self) -> apply.Changes:
        found = self.prepare()
        return apply.compare(self.cluster, "shop", [*found.secrets, *found.objects])

    def deploy(self, changes: apply.Changes | None = None) -> releases.Release | None:
        def tell(*what: str) -> None:
            self.told.append(what)  # type: ignore[arg-type]

        patience = Patience(5, clock=lambda: float(self.paused), pause=self._pause)
        return apply.execute(self.cluster, changes or self.changes(), "deploy", tell, patience=patience)

    def _pause(self, seconds: float) -> None:
        self.paused += 1


@pytest.fixture
def shop(tmp_path: Path, cluster: Cluster) -> Shop:
    return Shop(tmp_path / "shop", cluster)


def spec_of(server: ApiServer) -> dict[tuple[str, str], Object]:
    """What there is, without what differs between two ways there."""
    found = {}
    for kind in apply.APPLIED:
        for item in server.all(kind):
            if releases.RELEASE_LABEL not in item["metadata"].get("labels", {}):
                keep = {
                    "labels": item["metadata"].get("labels"),
                    "annotations": item["metadata"].get("annotations"),
                }
                body = {key: item[key] for key in ("spec", "data") if key in item}
                found[kind, item["metadata"]["name"]] = {**keep, **body}
    return found


def test_everything_is_applied_in_order_and_waited_for(shop: Shop, server: ApiServer) -> None:
    release = shop.deploy()
    assert release is not None
    assert release.number == 1
    order = [kind for kind, _, what in shop.told if what == "applied"]
    first = [kind for kind, _ in itertools.groupby(order)]
    assert first == ["ConfigMap", "Job", "Broker", "Service", "Trigger"]
    position = {each: shop.told.index(each) for each in shop.told}
    job_ready = max(position[each] for each in shop.told if each[0] == "Job" and each[2] == "ready")
    assert job_ready < min(position[each] for each in shop.told if each[0] == "Broker")
    wanted = {apply.identity(item) for item in shop.prepare().objects}
    assert set(spec_of(server)) == wanted


def test_deploying_twice_changes_nothing(shop: Shop, server: ApiServer) -> None:
    shop.deploy()
    version = len(server.log)
    changes = shop.changes()
    assert not changes
    assert shop.deploy(changes) is None
    assert len(server.log) == version


def test_a_changed_prompt_is_one_line_and_one_revision(shop: Shop, server: ApiServer) -> None:
    shop.deploy()
    triggers = {item["metadata"]["uid"] for item in server.all("Trigger")}
    revisions = {item["metadata"]["name"] for item in server.all("Revision")}
    shop.write("another prompt")
    changes = shop.changes()
    lines = [line for change in changes.shown for line in change.lines]
    prompts = [line.replace(" ", "") for line in lines if "rompt" in line.lower()]
    assert prompts == ['-"expression":"\'PROMPT\'",', '+"expression":"\'anotherprompt\'",']
    assert len([line for line in lines if line.strip()[0] in "+-"]) == 2
    assert {(each.action, each.kind) for each in changes.shown} == {
        ("change", "ConfigMap"),
        ("change", "Service"),
    }
    shop.deploy(changes)
    new = {item["metadata"]["name"] for item in server.all("Revision")} - revisions
    assert len(new) == 1
    assert "-one-" in next(iter(new))
    assert {item["metadata"]["uid"] for item in server.all("Trigger")} == triggers


def test_an_older_release_can_be_applied_again(shop: Shop, server: ApiServer) -> None:
    shop.deploy()
    before = spec_of(server)
    shop.write("another prompt")
    shop.deploy()
    assert spec_of(server) != before
    newest, older = releases.history(shop.cluster, "shop")
    assert (newest.number, older.number) == (2, 1)
    shop.deploy(apply.compare(shop.cluster, "shop", older.objects()))
    after = spec_of(server)
    assert {key: item for key, item in after.items() if key in before and key[0] != "Service"} == {
        key: item for key, item in before.items() if key[0] != "Service"
    }
    services = {key: item["spec"] for key, item in after.items() if key[0] == "Service"}
    assert services == {key: item["spec"] for key, item in before.items() if key[0] == "Service"}


def test_what_the_application_no_longer_has_goes_and_nothing_else(shop: Shop, server: ApiServer) -> None:
    meta = {"name": "theirs", "namespace": "default", "labels": {apply.objects.APPLICATION_LABEL: "other"}}
    server.seed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}})
    shop.deploy()
    shop.write(second=None)
    changes = shop.changes()
    gone = {(each.kind, each.name) for each in changes.shown if each.action == "remove"}
    assert {kind for kind, _ in gone} == {"Broker", "Service", "Trigger"}
    assert any("-two-" in name for _, name in gone)
    kinds = [item["kind"] for item in changes.remove]
    assert kinds.index("Trigger") < kinds.index("Service") < kinds.index("Broker")
    shop.deploy(changes)
    assert not gone & set(spec_of(server))
    assert ("ConfigMap", "theirs") in spec_of(server)
    assert not shop.changes()


def test_a_config_map_stays_while_a_revision_could_start_with_it(shop: Shop, server: ApiServer) -> None:
    shop.deploy()
    mounted = {
        item["metadata"]["name"] for item in server.all("ConfigMap") if "-one-" in item["metadata"]["name"]
    }
    shop.write("another prompt")
    shop.deploy()
    assert mounted < {item["metadata"]["name"] for item in server.all("ConfigMap")}
    for revision in server.all("Revision"):
        if revision["metadata"]["name"].endswith("-00001") and "-one-" in revision["metadata"]["name"]:
            shop.cluster.delete(revision)
    changes = shop.changes()
    assert not changes  # housekeeping is no change of the application
    shop.deploy(changes)
    assert not mounted & {item["metadata"]["name"] for item in server.all("ConfigMap")}


def test_what_belongs_to_others_is_not_touched(shop: Shop, server: ApiServer) -> None:
    service = next(item for item in shop.prepare().objects if item["kind"] == "Service")
    foreign = copy.deepcopy(service)
    foreign["metadata"]["labels"] = {}
    server.seed(foreign, manager="kn")
    version = len(server.log)
    with pytest.raises(apply.NotOurs) as refused:
        shop.changes()
    assert refused.value.found == (("Service", service["metadata"]["name"]),)
    assert refused.value.status == 5
    assert len(server.log) == version


def test_somebody_elses_change_is_a_conflict_before_anything_is_done(shop: Shop, server: ApiServer) -> None:
    shop.deploy()
    trigger = copy.deepcopy(server.all("Trigger")[0])
    trigger["spec"]["delivery"]["retry"] = 77
    patch = {"apiVersion": trigger["apiVersion"], "kind": "Trigger"}
    patch |= {"metadata": {"name": trigger["metadata"]["name"]}, "spec": {"delivery": {"retry": 77}}}
    shop.cluster.client.request(
        "patch",
        f"/apis/eventing.knative.dev/v1/namespaces/default/triggers/{trigger['metadata']['name']}",
        body=patch,
        content_type="application/merge-patch+json",
        field_manager="kubectl-edit",
    )
    shop.write("another prompt")
    version = len(server.log)
    with pytest.raises(OwnedByOthers) as refused:
        shop.changes()
    assert refused.value.fields == (("kubectl-edit", ".spec.delivery.retry"),)
    assert len(server.log) == version


def test_a_missing_secret_is_named(shop: Shop) -> None:
    shop.write("${secrets.key.it}")
    with pytest.raises(apply.MissingSecrets) as refused:
        shop.changes()
    assert refused.value.missing == ("shop-key",)


def is_write(request: Request) -> bool:
    return request.method != "GET" and request.query.get("dryRun") != "All"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_cut_off_at_every_write_the_next_run_ends_the_same(
    shop: Shop, server: ApiServer, moment: str
) -> None:
    """Between two writes the cluster does not change: a cut at a read is the cut before the next write."""
    shop.deploy()
    shop.write("another prompt", second=None)
    changes = shop.changes()
    start, writes = copy.deepcopy(server.entries), itertools.count()
    server.before = lambda request: is_write(request) and next(writes)
    shop.deploy(changes)
    end, total = spec_of(server), next(writes)
    assert total > 8
    for cut in range(total):
        server.before = lambda request: None
        server.entries = copy.deepcopy(start)
        seen = itertools.count()

        def hang_up(request: Request, seen: Any = seen, cut: int = cut) -> None:
            if is_write(request) and next(seen) == cut:
                raise Hangup

        setattr(server, moment, hang_up)
        with pytest.raises(ClusterError, match="does not answer"):
            shop.deploy(changes)
        setattr(server, moment, lambda request: None)
        shop.deploy()
        assert spec_of(server) == end, f"cut off at write {cut}"
        assert [each.number for each in releases.history(shop.cluster, "shop")] == [2, 1]


def test_ready_counts_only_for_the_newest_generation() -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    found = {"kind": "Broker", "metadata": {"generation": 2}}
    assert not waiting.state({**found, "status": {"observedGeneration": 1, "conditions": conditions}}).ready
    assert waiting.state({**found, "status": {"observedGeneration": 2, "conditions": conditions}}).ready
    assert not waiting.state(found).ready


def test_what_never_gets_ready_is_named_with_its_reason(shop: Shop, server: ApiServer) -> None:
    def settle(server: ApiServer, found: Object) -> None:
        knative_cluster.settle(server, found)
        if found["kind"] == "Broker":
            bad = {"type": "Ready", "status": "False", "reason": "TopicNotFound", "message": "no topic"}
            server.set_status(found, {"observedGeneration": 1, "conditions": [bad]})

    server.settle = settle
    with pytest.raises(NotReady, match="TopicNotFound: no topic") as late:
        shop.deploy()
    assert late.value.status == 6
    assert shop.paused >= 5
    assert server.all("Trigger") == []
    assert releases.history(shop.cluster, "shop") == []
    told = [each for each in shop.told if each[0] == "Broker" and "TopicNotFound" in each[2]]
    assert len(told) == len(set(told))  # a state is told once


def test_a_failed_setup_stops_before_triggers_and_runs_again(shop: Shop, server: ApiServer) -> None:
    def settle(server: ApiServer, found: Object) -> None:
        if found["kind"] == "Job":
            bad = {"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}
            server.set_status(found, {"conditions": [bad]})

    server.settle = settle
    with pytest.raises(NotReady, match="BackoffLimitExceeded") as failed:
        shop.deploy()
    assert failed.value.status == 1
    assert server.all("Broker") == []
    server.settle = knative_cluster.settle
    shop.deploy()
    assert len(server.all("Trigger")) == 2


def test_without_patience_only_the_setup_is_waited_for(shop: Shop, server: ApiServer) -> None:
    def settle(server: ApiServer, found: Object) -> None:
        if found["kind"] == "Job":
            knative_cluster.settle(server, found)

    server.settle = settle
    told: list[tuple[str, ...]] = []
    apply.execute(shop.cluster, shop.changes(), "deploy", lambda *what: told.append(what), patience=None)
    assert {what[0] for what in told if what[2] == "ready"} == {"Job"}
    assert len(server.all("Trigger")) == 2


def test_everything_of_an_application_goes_and_nothing_of_others(shop: Shop, server: ApiServer) -> None:
    meta = {"name": "theirs", "namespace": "default", "labels": {apply.objects.APPLICATION_LABEL: "other"}}
    server.seed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}})
    shop.deploy()
    order: list[str] = []
    assert apply.remove_all(shop.cluster, "shop", lambda kind, name, what: order.append(kind)) > 10
    assert set(spec_of(server)) == {("ConfigMap", "theirs")}
    assert order.index("Trigger") < order.index("Service") < order.index("Broker")
    assert releases.history(shop.cluster, "shop") == []


def test_only_the_last_releases_are_kept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "KEPT", 3)
    for number in range(releases.KEPT + 2):
        shop.write(f"prompt {number}")
        shop.deploy()
    numbers = [release.number for release in releases.history(shop.cluster, "shop")]
    assert numbers == list(range(releases.KEPT + 2, 2, -1))


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_states_ends_in_the_last(
    shop: Shop, server: ApiServer, seed: int, tmp_path: Path
) -> None:
    """Whatever was deployed before, the cluster holds what the newest files say."""
    chance = random.Random(seed)
    states: list[Callable[[], None]] = [
        lambda: shop.write("a"),
        lambda: shop.write("b", second=None),
        lambda: shop.write("c", second=SECOND.replace("output: answers", "output: questions")),
        lambda: shop.write("d", second=SECOND + "errors: {on-failure: skip, retries: 4}"),
    ]
    for write in chance.choices(states, k=4):
        write()
        shop.deploy()
    for revision in server.all("Revision"):
        shop.cluster.delete(revision)
    shop.deploy()
    wanted = {apply.identity(item): item for item in shop.prepare().objects}
    found = spec_of(server)
    assert set(found) == set(wanted)
    for key, item in wanted.items():
        if key[0] in ("ConfigMap",):
            assert found[key]["data"] == item["data"]
        if key[0] == "Trigger":
            assert found[key]["spec"] == item["spec"]
