"""Plan → manifests: what is in them, that they are valid, and that they can be read back."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tidemill.application.explain import lane_let_go_after
from tidemill.application.plan import Plan, StreamingCluster, TopicPlan, TriggerPlan
from tidemill.errors import ConfigurationError
from tidemill.functions.environment import Environment
from tidemill.functions.unit import AgentSpec, ResourcesSpec, ScaleSpec, UnitSpec
from tidemill.knative import delivery, durations, names
from tidemill.knative.read import UnreadableManifest, read
from tidemill.knative.render import RenderOptions, apply_rank, render
from tidemill.knative.scaling import Scaling, scaling
from tidemill.knative.secrets import referenced, render_secrets
from tidemill.knative.validate import validate

Object = dict[str, Any]
Case = tuple[Plan, RenderOptions]
GOLDEN = Path(__file__).parent / "golden"


class Readable(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, _text)


def of_kind(found: list[Object], kind: str) -> list[Object]:
    return [item for item in found if item["kind"] == kind]


def the(found: list[Object], kind: str, start: str = "") -> Object:
    (one,) = (item for item in of_kind(found, kind) if item["metadata"]["name"].startswith(start))
    return one


@pytest.mark.parametrize("name", ["minimal", "errors", "chat", "plain"])
def test_golden(name: str, named_case: Callable[[str], Case]) -> None:
    plan, options = named_case(name)
    text = yaml.dump_all(render(plan, options), Dumper=Readable, sort_keys=False, width=110)
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("TIDEMILL_WRITE_GOLDEN"):
        file.write_text(text)
    assert list(yaml.safe_load_all(file.read_text())) == render(plan, options)
    assert file.read_text() == text


def test_our_rules_accept(case: Case, own_rules: Any) -> None:
    assert own_rules(render(*case)) == []


def test_the_typed_models_accept(case: Case, typed_models: Any) -> None:
    assert typed_models(render(*case)) == []


def test_the_crds_accept(case: Case, crds: Any) -> None:
    assert crds(render(*case)) == []


def test_deterministic_whatever_the_order(case: Case) -> None:
    plan, options = case
    expected = render(plan, options)
    shuffle = random.Random(4)
    parts = {
        name: tuple(shuffle.sample(list(getattr(plan, name)), len(getattr(plan, name))))
        for name in ("units", "topics", "triggers")
    }
    assert render(msgspec.structs.replace(plan, **parts), options) == expected


def test_apply_order(case: Case) -> None:
    """What is referred to comes first, what produces events last."""
    found = render(*case)
    ranks = [apply_rank(item) for item in found]
    assert ranks == sorted(ranks)
    kinds = list(dict.fromkeys(item["kind"] for item in found))
    wanted = ["ConfigMap", "PersistentVolumeClaim", "Job", "Broker", "Service", "DomainMapping", "Trigger"]
    assert [kind for kind in wanted if kind in kinds] == [kind for kind in kinds if kind in wanted]


def test_secrets_go_before_all_that_mounts_them(named_case: Callable[[str], Case]) -> None:
    (secret,) = render_secrets("chat", {"db": {"url": "x"}}, "team-a")
    assert apply_rank(secret) < min(apply_rank(item) for item in render(*named_case("chat")))


def test_a_source_starts_last(named_case: Callable[[str], Case]) -> None:
    last = render(*named_case("errors"))[-1]
    assert last["metadata"]["labels"]["tidemill.dev/unit"] == "poll"
    template = last["spec"]["template"]
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] == "1"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"] == "1"
    assert template["spec"]["containerConcurrency"] == 1


def test_delivery_by_policy(named_case: Callable[[str], Case]) -> None:
    plan, options = named_case("errors")
    found = {item.subscriber: item for item in read(render(plan, options)).triggers}

    def of(unit: str) -> Any:
        return found[names.of_unit("orders", unit)].delivery

    def dead_letters(topic: str) -> str:
        return names.of_broker("orders", topic)

    assert of("check")["deadLetterSink"]["ref"]["kind"] == "Broker"
    assert of("check")["deadLetterSink"]["ref"]["name"] == dead_letters("Orders.v1-deadletter")
    assert (of("check")["retry"], of("check")["backoffPolicy"]) == (5, "exponential")
    assert of("store")["deadLetterSink"]["ref"]["name"] == names.of_unit("orders", "store")
    assert (of("store")["deadLetterSink"]["uri"], of("store")["retry"]) == ("/skipped", 3)
    assert (of("bill")["retry"], of("bill")["backoffPolicy"], of("bill")["backoffDelay"]) == (
        1000,
        "linear",
        "PT10S",
    )
    assert of("bill")["deadLetterSink"]["ref"]["name"] == dead_letters("good-deadletter")
    assert {spec.delivery["timeout"] for spec in found.values()} == {"PT5M10S"}


def test_the_net_of_fail_is_made(named_case: Callable[[str], Case]) -> None:
    """A dead-letter topic that nobody declared gets its Broker and is created, as large as its input."""
    topics = {topic.name: topic for topic in read(render(*named_case("errors"))).topics}
    net = topics["good-deadletter"]
    assert (net.partitions, net.creation_mode, net.dead_letter_of) == (1, "create-if-not-exists", "good")


def test_timeouts_grow_outwards() -> None:
    from tidemill.functions.host import DEFAULT_DEADLINE

    assert DEFAULT_DEADLINE == delivery.HOST_DEADLINE
    assert delivery.HOST_DEADLINE < delivery.TRIGGER_TIMEOUT < delivery.REQUEST_TIMEOUT <= 600


@pytest.mark.parametrize("retries", [0, 1, 9, 10, 11, 60, 600])
def test_no_wait_is_much_longer_than_a_minute(retries: int) -> None:
    """By Kafka's counting, which starts at 1: exponential growth has no limit of its own."""
    spec = delivery.delivery(
        TriggerPlan(name="t", unit="u", topic="t", on_failure="dead-letter", retries=retries), {}
    )
    growth = retries if spec["backoffPolicy"] == "linear" else 2**retries
    assert spec["retry"] == retries
    assert durations.from_iso(spec["backoffDelay"]) * growth <= 66


def test_fail_waits_as_the_plan_says() -> None:
    """`tidemill plan` prints when a lane is let go."""
    spec = delivery.delivery(TriggerPlan(name="t", unit="u", topic="t"), {})
    waits = (durations.from_iso(spec["backoffDelay"]) * n for n in range(1, spec["retry"] + 1))
    assert spec["backoffPolicy"] == "linear"
    assert sum(waits) == lane_let_go_after()


def test_plain_topics_come_by_kafka_source(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("plain"))
    source = the(found, "KafkaSource")
    assert source["spec"]["topics"] == ["raw"]
    assert source["spec"]["initialOffset"] == "earliest"
    assert source["spec"]["sink"]["ref"]["name"] == names.of_unit("sensors", "parse")
    assert source["spec"]["delivery"]["deadLetterSink"]["uri"] == "/skipped"
    assert source["spec"]["consumerGroup"] == f"tidemill-default-{source['metadata']['name']}"
    assert [item["spec"]["broker"] for item in of_kind(found, "Trigger")] == [
        names.of_broker("sensors", "parsed")
    ]
    brokers = {broker.topic for broker in read(found).brokers}
    assert "raw" in brokers  # others may write to it through the Broker


def test_plain_topics_cannot_be_filtered(named_case: Callable[[str], Case]) -> None:
    plan, options = named_case("plain")
    first, second = plan.triggers
    filtered = msgspec.structs.replace(first, filters=({"exact": {"type": "x"}},))
    with pytest.raises(ConfigurationError, match="plain"):
        render(msgspec.structs.replace(plan, triggers=(filtered, second)), options)


def test_every_object_is_labelled(case: Case) -> None:
    plan, options = case
    for item in render(plan, options):
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "tidemill"
        assert labels["app.kubernetes.io/part-of"] == labels["tidemill.dev/application"] == plan.application
        if item["kind"] in ("Trigger", "KafkaSource"):
            assert "tidemill.dev/unit" in labels


def test_only_the_gateway_is_visible(case: Case) -> None:
    for item in of_kind(render(*case), "Service"):
        visible = "networking.knative.dev/visibility" not in item["metadata"]["labels"]
        assert visible == item["metadata"]["name"].endswith("-gateway")


def test_gateway(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("chat"))
    service = the(found, "Service", "chat-gateway")
    revision = service["spec"]["template"]["spec"]
    assert (revision["containerConcurrency"], revision["timeoutSeconds"]) == (0, 600)
    assert revision["responseStartTimeoutSeconds"] == 600
    assert service["metadata"]["annotations"]["networking.knative.dev/ingress-class"] == "kourier.example.io"
    assert the(found, "DomainMapping")["spec"]["ref"]["name"] == "chat-gateway"
    manifests = read(found)
    assert [gateway.id for gateway in manifests.gateways] == ["talk", "pages"]
    site = names.of_unit("chat", "site")
    assert manifests.services == {"site": f"http://{site}.team-a.svc.cluster.local"}


def test_a_service_agent_listens_where_langstream_says(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("chat"))
    container = the(found, "Service", "chat-site")["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"][0]["containerPort"] == 8000
    assert "tcpSocket" in container["readinessProbe"]
    assert all(item["spec"]["subscriber"]["ref"]["name"] != names.of_unit("chat", "site")
               for item in of_kind(found, "Trigger"))  # fmt: skip


def test_containers_are_locked_down(case: Case) -> None:
    for item in render(*case):
        if item["kind"] in ("Service", "Job"):
            (container,) = item["spec"]["template"]["spec"]["containers"]
            security = container["securityContext"]
            assert security["runAsNonRoot"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}


# ---- names, hashes, secrets


def test_config_maps_are_immutable_and_named_by_content(named_case: Callable[[str], Case]) -> None:
    plan, options = named_case("chat")
    first = render(plan, options)
    answer, site = plan.units
    (agent,) = answer.spec.agents
    changed = msgspec.structs.replace(agent, configuration={"prompt": "another"})
    spec = msgspec.structs.replace(answer.spec, agents=(changed,))
    second = render(
        msgspec.structs.replace(plan, units=(msgspec.structs.replace(answer, spec=spec), site)), options
    )
    assert all(item["immutable"] for item in of_kind(first, "ConfigMap"))
    before, after = (
        {i["metadata"]["name"] for i in of_kind(found, "ConfigMap")} for found in (first, second)
    )
    (gone,) = before - after  # one unit's, and nothing else: only that unit gets a new revision
    (new,) = after - before
    assert gone.rpartition("-")[0] == new.rpartition("-")[0]
    assert {i["metadata"]["name"] for i in first if i["kind"] != "ConfigMap"} == {
        i["metadata"]["name"] for i in second if i["kind"] != "ConfigMap"
    }


def test_the_job_is_named_by_all_it_does(named_case: Callable[[str], Case]) -> None:
    plan, options = named_case("minimal")
    more = msgspec.structs.replace(plan, topics=(*plan.topics, TopicPlan(name="more")))
    jobs = [
        the(render(plan, options), "Job"),
        the(render(more, options), "Job"),
        the(render(plan, RenderOptions(image="example.com/other:2")), "Job"),
    ]
    assert len({job["metadata"]["name"] for job in jobs}) == 3


def test_the_setup_knows_the_consumer_groups(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("plain"))
    (text,) = (
        item["data"]["setup.json"] for item in of_kind(found, "ConfigMap") if "setup.json" in item["data"]
    )
    trigger = the(found, "Trigger")["metadata"]["name"]
    assert json.loads(text)["groups"] == {f"knative-trigger-default-{trigger}": "parsed"}


def test_kafka_address() -> None:
    def config(plan: Plan, **options: Any) -> Object:
        broker: Object = of_kind(render(plan, RenderOptions(**options)), "Broker")[0]
        return dict(broker["spec"]["config"])

    plan = Plan(application="a", topics=(TopicPlan(name="t"),))
    assert config(plan)["name"] == "kafka-broker-config"
    assert config(plan, bootstrap_servers=("k:9092",))["name"] == "a-kafka"
    secret = StreamingCluster(
        type="kafka", configuration={"admin": {"bootstrap.servers": "${secrets.kafka.servers}"}}
    )
    unresolved = render(msgspec.structs.replace(plan, cluster=secret))
    assert any("bootstrap.servers" in fault.message for fault in validate(unresolved))


def test_secrets_are_mounted_by_reference_only(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("chat"))
    units = {item.spec().id: item for item in read(found).units}
    assert units["answer"].secrets == {
        "Odd_Id": names.of_secret("chat", "Odd_Id"),
        "db": "chat-db",
        "open-ai": "chat-open-ai",
        "prompts": "chat-prompts",
    }
    assert units["site"].secrets == {}
    job = the(found, "Job")["spec"]["template"]["spec"]
    assert [v["secret"]["secretName"] for v in job["volumes"] if "secret" in v] == ["chat-db"]


def test_references_to_secrets() -> None:
    nested = {"x": ["{{secrets.c.d}}", 1, None, {"y": "z ${ secrets.e.f } ${globals.g}"}]}
    assert referenced("${secrets.a.b}", nested) == ("a", "c", "e")


def test_secret_values_keep_their_types(tmp_path: Path, own_rules: Any) -> None:
    data = {
        "text": "ü",
        "number": 5,
        "list": [1, "a"],
        "empty": "",
        "null": None,
        "file.json": "not JSON",
        "yes": "true",
    }
    (secret,) = render_secrets("app", {"id": data}, "default")
    assert own_rules([secret]) == []
    folder = tmp_path / "id"
    folder.mkdir()
    for name, value in secret["data"].items():  # as Kubernetes mounts it
        (folder / name).write_bytes(base64.b64decode(value))
    assert Environment(unit=tmp_path, secrets=tmp_path).read_secrets() == {"id": data}


def test_a_secret_key_that_no_file_can_have() -> None:
    with pytest.raises(ConfigurationError, match="two words"):
        render_secrets("app", {"id": {"two words": "value"}}, "default")


# ---- back


def test_read_gives_what_the_plan_says(case: Case) -> None:
    plan, options = case
    found = read(render(plan, options))
    assert (found.tenant, found.application) == (plan.tenant, plan.application)
    assert {item.spec().id: item.spec() for item in found.units} == {u.spec.id: u.spec for u in plan.units}
    assert {t.name: t for t in plan.topics}.items() <= {t.name: t for t in found.topics}.items()
    assert {broker.topic for broker in found.brokers} == {topic.name for topic in found.topics}
    assert set(found.assets) == set(plan.assets) if not plan.assets else found.assets == plan.assets
    assert msgspec.to_builtins(found.gateways) == msgspec.to_builtins(plan.gateways)
    units = {item.name: item.spec().id for item in found.units}
    assert {
        (units[t.subscriber], t.topic): (t.on_failure, t.retries, t.filters, t.ordered)
        for t in found.triggers
    } == {(t.unit, t.topic): (t.on_failure, t.retries, t.filters, True) for t in plan.triggers}
    paths = {f"/{options.namespace}/{broker.name}": broker.topic for broker in found.brokers}
    for item in found.units:
        assert {topic: paths[path] for topic, path in item.topics.items()} == {t: t for t in paths.values()}


def test_read_gives_the_scale(named_case: Callable[[str], Case]) -> None:
    units = {item.spec().id: item for item in read(render(*named_case("plain"))).units}
    parse, sums = units["parse"], units["Sum_Up"]
    assert (parse.min_scale, parse.max_scale, parse.metric, parse.target) == (1, 6, "rps", 1.5)
    assert (parse.window, parse.scale_down_delay, parse.container_concurrency) == (30, 15, 8)
    assert parse.timeout == delivery.REQUEST_TIMEOUT
    assert (sums.max_scale, sums.container_concurrency, sums.target) == (1, 24, 24)
    assert sums.claim == sums.name
    assert (parse.claim, parse.port) == (None, 8080)


def test_read_refuses_what_hangs_in_the_air(named_case: Callable[[str], Case]) -> None:
    found = render(*named_case("minimal"))
    with pytest.raises(UnreadableManifest, match=r"spec\.broker"):
        read([item for item in found if item["kind"] != "Broker"])
    with pytest.raises(UnreadableManifest, match="ConfigMap"):
        read([item for item in found if item["kind"] != "ConfigMap"])


# ---- scale


def resources(kind: str = "processor", parallelism: int = 1, **scale: Any) -> UnitSpec:
    return UnitSpec(
        id="u",
        kind=kind,  # type: ignore[arg-type]
        agents=(AgentSpec(id="a", type="identity"),),
        resources=ResourcesSpec(parallelism=parallelism, scale=ScaleSpec(**scale)),
    )


@pytest.mark.parametrize(
    ("unit", "partitions", "expected"),
    [
        (resources(), 12, Scaling(0, 3, 4)),
        (resources(), 1, Scaling(0, 1, 4)),
        (resources(parallelism=2), 12, Scaling(0, 2, 6)),
        (resources(concurrency=1), 12, Scaling(0, 12, 1)),
        (resources(concurrency=0), 12, Scaling(0, 1, 0)),
        (resources(max=2), 12, Scaling(0, 2, 6)),
        (resources(max=2, concurrency=3), 12, Scaling(0, 2, 3)),
        (resources(min=5), 12, Scaling(5, 5, 4)),
        (resources(max=1), 5000, Scaling(0, 1, 1000)),
        (resources("source", min=3), 0, Scaling(1, 1, 1)),
        (resources("service", parallelism=3), 0, Scaling(0, 0, 0)),
        (resources("sink"), 0, Scaling(0, 1, 4)),
    ],
)
def test_scaling(unit: UnitSpec, partitions: int, expected: Scaling) -> None:
    assert scaling(unit, partitions) == expected
