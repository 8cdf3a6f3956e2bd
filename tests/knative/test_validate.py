"""What a cluster would refuse, our rules refuse; the structural judges of the tests refuse too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tidemill.knative.faults import InvalidManifests
from tidemill.knative.render import render
from tidemill.knative.secrets import render_secrets
from tidemill.knative.validate import check, validate

Object = dict[str, Any]
GONE = object()

AUTOSCALING = "autoscaling.knative.dev/"
NOTES = "spec.template.metadata.annotations"
POD = "spec.template.spec"
BOX = f"{POD}.containers.0"


def put(found: Object, path: str, value: Any) -> None:
    """Set (or with GONE, remove) what a dotted path names; `|` stands for a dot inside a key."""
    *way, last = (part.replace("|", ".") for part in path.split("."))
    place: Any = found
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if value is GONE:
        del place[last]
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value


def note(name: str) -> str:
    return f"{NOTES}.{AUTOSCALING}{name}".replace("autoscaling.knative.dev", "autoscaling|knative|dev")


BAD: list[tuple[str, str, Any]] = [
    # names and labels
    ("Service", "metadata.name", "Upper"),
    ("Service", "metadata.name", "9lives"),
    ("Service", "metadata.name", "a" * 64),
    ("Trigger", "metadata.name", "dotted.name"),
    ("Broker", "metadata.name", "ends-with-"),
    ("Broker", "metadata.namespace", "Not_Legal"),
    ("Broker", "metadata.namespace", GONE),
    ("Broker", "metadata.labels.tidemill|dev/unit", "white space"),
    ("Broker", "metadata.labels.tidemill|dev/unit", "x" * 64),
    ("Broker", "metadata.labels.-bad", "x"),
    ("Service", f"{NOTES}.bad_/key", "x"),
    ("Trigger", "metadata.annotations.number", 3),
    ("DomainMapping", "metadata.name", "nodots"),
    ("DomainMapping", "metadata.name", "a.b.svc.cluster.local"),
    ("DomainMapping", "metadata.name", "*.example.com"),
    ("Trigger", "kind", "Triger"),
    ("Trigger", "apiVersion", "eventing.knative.dev/v1beta1"),
    ("DomainMapping", "apiVersion", "serving.knative.dev/v1"),
    ("Trigger", "spec", GONE),
    # autoscaling
    ("Service", "metadata.annotations.autoscaling|knative|dev/min-scale", "1"),
    ("Service", "metadata.labels.autoscaling|knative|dev/min-scale", "1"),
    ("Service", note("min-scale"), 1),
    ("Service", note("min-scale"), "-1"),
    ("Service", note("min-scale"), "a few"),
    ("Service", note("min-scale"), "9"),
    ("Service", note("minScale"), "1"),
    ("Service", note("max-scales"), "1"),
    ("Service", note("max-scale"), "1.5"),
    ("Service", note("activation-scale"), "1"),
    ("Service", note("activation-scale"), "7"),
    ("Service", note("target"), "0"),
    ("Service", note("target"), "nan"),
    ("Service", note("target-utilization-percentage"), "101"),
    ("Service", note("window"), "5s"),
    ("Service", note("window"), "61m"),
    ("Service", note("window"), "6.5s"),
    ("Service", note("window"), "60"),
    ("Service", note("scale-down-delay"), "2h"),
    ("Service", note("metric"), "cpu"),
    ("Service", note("class"), "kpa"),
    ("Service+disk", note("class"), "hpa.autoscaling.knative.dev"),
    ("Service", note("panic-threshold-percentage"), "100"),
    # revision
    ("Service", "metadata.labels.networking|knative|dev/visibility", "local"),
    ("Service", f"{POD}.containerConcurrency", -1),
    ("Service", f"{POD}.containerConcurrency", 1001),
    ("Service", f"{POD}.containerConcurrency", "4"),
    ("Service", f"{POD}.timeoutSeconds", 601),
    ("Service", f"{POD}.timeoutSeconds", 0),
    ("Service", f"{POD}.responseStartTimeoutSeconds", 321),
    ("Service", f"{POD}.responseStartTimeoutSeconds", GONE),
    ("Service", f"{POD}.idleTimeoutSeconds", 500),
    ("Service", f"{POD}.restartPolicy", "Always"),
    ("Service", f"{POD}.terminationGracePeriodSeconds", 30),
    ("Service", f"{POD}.nodeName", "n"),
    ("Service", f"{POD}.securityContext", {"fsGroup": 1}),
    ("Service", f"{POD}.containers", []),
    ("Service", f"{BOX}.image", ""),
    ("Service", f"{BOX}.name", "queue-proxy"),
    ("Service", f"{BOX}.lifecycle", {}),
    ("Service", f"{BOX}.ports", [{"containerPort": 8080}, {"containerPort": 8081}]),
    ("Service", f"{BOX}.ports.0.containerPort", 8012),
    ("Service", f"{BOX}.ports.0.hostPort", 80),
    ("Service", f"{BOX}.ports.0.name", "web"),
    ("Service", f"{BOX}.env.0.name", "PORT"),
    ("Service", f"{BOX}.env.0.name", "K_SERVICE"),
    ("Service", f"{BOX}.env.0.name", "TIDEMILL_UNIT"),
    ("Service", f"{BOX}.env.0.value", GONE),
    ("Service", f"{BOX}.env.0.value", 4),
    ("Service", f"{BOX}.volumeMounts.0.mountPath", "/"),
    ("Service", f"{BOX}.volumeMounts.0.mountPath", "/dev"),
    ("Service", f"{BOX}.volumeMounts.0.mountPath", "/tmp/"),
    ("Service", f"{BOX}.volumeMounts.0.mountPath", "relative"),
    ("Service", f"{BOX}.volumeMounts.0.mountPath", "/etc/../x"),
    ("Service", f"{BOX}.volumeMounts.0.readOnly", False),
    ("Service", f"{BOX}.volumeMounts.0.name", "nowhere"),
    ("Service", f"{BOX}.volumeMounts", []),
    ("Service", f"{BOX}.readinessProbe.successThreshold", 0),
    ("Service", f"{BOX}.readinessProbe.timeoutSeconds", 1),
    ("Service", f"{BOX}.readinessProbe.httpGet.port", 9999),
    ("Service", f"{BOX}.readinessProbe.tcpSocket", {"port": 8080}),
    ("Service", f"{BOX}.resources.requests.cpu", "half"),
    ("Service", f"{BOX}.resources.limits.memory", "1GB"),
    ("Service", f"{BOX}.securityContext.privileged", True),
    ("Service", f"{POD}.volumes.0.hostPath", {"path": "/"}),
    ("Service", f"{POD}.volumes.0.configMap.name", "another"),
    ("Service", f"{POD}.volumes.0.name", "Upper"),
    ("Service", "spec.traffic", [{"latestRevision": True, "percent": 90}]),
    ("Service", "spec.traffic", [{"latestRevision": True, "revisionName": "a-1", "percent": 100}]),
    ("Service", "spec.traffic", [{"percent": 100}]),
    ("Service", "spec.traffic", [{"latestRevision": True, "percent": 100, "tag": "Not.Legal"}]),
    ("Service+disk", note("max-scale"), "2"),
    # eventing
    ("Broker", "metadata.annotations.eventing|knative|dev/broker|class", "kafka"),
    ("Broker", "metadata.annotations.eventing|knative|dev/broker|class", GONE),
    ("Broker", "metadata.annotations.kafka|eventing|knative|dev/external|topic", "a topic"),
    ("Broker", "metadata.annotations.kafka|eventing|knative|dev/external|topic", "t" * 250),
    ("Broker", "spec.config.kind", "Secret"),
    ("Broker", "spec.config", GONE),
    ("Broker", "spec.delivery", {"backoffPolicy": "fibonacci"}),
    ("Trigger", "spec.broker", GONE),
    ("Trigger", "spec.broker", ""),
    ("Trigger", "spec.broker", "no-such-broker"),
    ("Trigger", "spec.brokerRef", {"name": "b"}),
    ("Trigger", "spec.subscriber", GONE),
    ("Trigger", "spec.subscriber", {}),
    ("Trigger", "spec.subscriber.ref.name", "no-such-service"),
    ("Trigger", "spec.subscriber.ref.kind", GONE),
    ("Trigger", "spec.subscriber.uri", "http://elsewhere/"),
    ("Trigger", "spec.subscriber", {"uri": "/relative"}),
    ("Trigger", "metadata.annotations.kafka|eventing|knative|dev/delivery|order", "sorted"),
    ("Trigger", "spec.delivery", GONE),
    ("Trigger", "spec.delivery.deadLetterSink", GONE),
    ("Trigger", "spec.delivery.deadLetterSink", {}),
    ("Trigger", "spec.delivery.deadLetterSink.ref.name", "no-such-sink"),
    ("Trigger", "spec.delivery.retry", -1),
    ("Trigger", "spec.delivery.retry", True),
    ("Trigger", "spec.delivery.retry", "3"),
    ("Trigger", "spec.delivery.retry", 2**31),
    ("Trigger", "spec.delivery.backoffPolicy", "fibonacci"),
    ("Trigger", "spec.delivery.backoffPolicy", "Linear"),
    ("Trigger", "spec.delivery.backoffDelay", "10s"),
    ("Trigger", "spec.delivery.backoffDelay", "PT"),
    ("Trigger", "spec.delivery.timeout", "PT0S"),
    ("Trigger", "spec.delivery.timeout", 310),
    ("Trigger", "spec.delivery.retries", 3),
    ("Trigger", "spec.delivery.format", "xml"),
    ("Trigger", "spec.filters", [{"exact": {"type": "a"}, "prefix": {"type": "b"}}]),
    ("Trigger", "spec.filters", [{"like": {"type": "a"}}]),
    ("Trigger", "spec.filters", [{"exact": {"Type": "a"}}]),
    ("Trigger", "spec.filters", [{"exact": {"type": ""}}]),
    ("Trigger", "spec.filters", [{"exact": {}}]),
    ("Trigger", "spec.filters", [{"any": []}]),
    ("Trigger", "spec.filters", [{"not": {"all": [{"prefix": {"so-urce": "a"}}]}}]),
    ("Trigger", "spec.filters", [{"cesql": " "}]),
    ("KafkaSource", "spec.topics", []),
    ("KafkaSource", "spec.topics", GONE),
    ("KafkaSource", "spec.topics", ["a topic"]),
    ("KafkaSource", "spec.bootstrapServers", ["kafka"]),
    ("KafkaSource", "spec.bootstrapServers", ["${secrets.kafka.servers}"]),
    ("KafkaSource", "spec.bootstrapServers", "kafka:9092"),
    ("KafkaSource", "spec.consumerGroup", GONE),
    ("KafkaSource", "spec.initialOffset", "newest"),
    ("KafkaSource", "spec.ordering", "sorted"),
    ("KafkaSource", "spec.sink", GONE),
    ("KafkaSource", "spec.sink.ref.name", "no-such-service"),
    ("KafkaSource", "spec.delivery.backoffPolicy", "quadratic"),
    ("KafkaSource", "spec.delivery.deadLetterSink", GONE),
    ("KafkaSource", "spec.consumers", -1),
    ("KafkaSource", "spec.offset", "earliest"),
    ("KafkaSource", "spec.net", {"ssl": {}}),
    # the rest
    ("DomainMapping", "spec.ref.name", "no-such-service"),
    ("DomainMapping", "spec.ref.namespace", "elsewhere"),
    ("DomainMapping", "spec.ref", GONE),
    ("ConfigMap", "data.bad key", "x"),
    ("ConfigMap", "data.number", 1),
    ("ConfigMap", "data.huge", "x" * (1024 * 1024 + 1)),
    ("ConfigMap", "metadata.name", "another"),
    ("ConfigMap+kafka", "data.bootstrap|servers", "kafka"),
    ("ConfigMap+kafka", "data.default|topic|partitions", "0"),
    ("ConfigMap+kafka", "data.default|topic|replication|factor", GONE),
    ("PersistentVolumeClaim", "spec.resources.requests.storage", "large"),
    ("PersistentVolumeClaim", "metadata.name", "another"),
    ("Job", f"{POD}.restartPolicy", "Always"),
    ("Job", f"{BOX}.image", GONE),
    ("Job", "spec.completionMode", 1),
    ("Secret", "data.key", "not base64!"),
    ("Secret", "data.two words", ""),
]


@pytest.fixture
def everything(named_case: Callable[[str], Any]) -> list[Object]:
    """All kinds together: the application with plain topics and the one with a gateway, and a Secret."""
    plain, options = named_case("plain")
    chat, chat_options = named_case("chat")
    found = render(plain, options) + render(chat, replace(chat_options, namespace="default"))
    return copy.deepcopy(found + render_secrets("chat", {"db": {"key": "value"}}, "default"))


def chosen(found: list[Object], which: str) -> Object:
    kind, _, wanted = which.partition("+")
    for item in found:
        text = repr(item)
        if item["kind"] != kind:
            continue
        if kind == "Service" and ("-parse-" in text, "claimName" in text)[wanted == "disk"]:
            return item
        if kind == "ConfigMap" and ("bootstrap.servers" in item["data"]) == (wanted == "kafka"):
            return item
        if kind not in ("Service", "ConfigMap"):
            return item
    raise AssertionError(f"no {which}")


def test_all_of_it_is_valid(everything: list[Object], typed_models: Any) -> None:
    assert validate(everything) == ()
    check(everything)
    assert {item["kind"] for item in everything} == {which.partition("+")[0] for which, _, _ in BAD}


@pytest.mark.parametrize(("which", "path", "value"), BAD)
def test_a_mutation_is_refused(everything: list[Object], which: str, path: str, value: Any) -> None:
    victim = chosen(everything, which)
    put(victim, path, value)
    assert validate(everything), f"{which}: {path} = {value!r} was accepted"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where mappings with known fields stand: not labels, data or other free mappings."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            if key not in ("labels", "annotations", "data", "requests", "limits", "filters", "extensions"):
                yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def test_an_unknown_field_is_refused_wherever_it_is(everything: list[Object]) -> None:
    for item in everything:
        for path in places(item):
            place = at(item, path)
            place["unheardOf"] = "x"
            faults = validate([item])
            del place["unheardOf"]
            assert any(fault.path.endswith("unheardOf") for fault in faults), (item["kind"], path)


def test_a_wrong_type_is_refused_wherever_it_is(everything: list[Object]) -> None:
    """No value may be replaced with a list of lists; nor may a rule stumble over it."""
    for item in everything:
        for path in places(item):
            place = at(item, path)
            for key, value in list(place.items()):
                place[key] = [[1]]
                assert validate([item]), (item["kind"], path, key)
                place[key] = value


def test_what_is_missing_breaks_no_rule(everything: list[Object]) -> None:
    """Rules meet objects from which any field is gone; they answer with faults or accept."""
    for item in everything:
        for path in places(item):
            place = at(item, path)
            for key in list(place):
                value = place.pop(key)
                validate([item])
                place[key] = value


def test_faults_say_where(everything: list[Object]) -> None:
    trigger = chosen(everything, "Trigger")
    put(trigger, "spec.delivery.backoffPolicy", "fibonacci")
    with pytest.raises(InvalidManifests) as caught:
        check(everything)
    (fault,) = caught.value.faults
    assert fault.object == f"Trigger/{trigger['metadata']['name']}"
    assert fault.path == "spec.delivery.backoffPolicy"
    assert "fibonacci" in fault.message


def test_two_objects_of_one_name(everything: list[Object]) -> None:
    again = copy.deepcopy(chosen(everything, "Trigger"))
    (fault,) = validate([*everything, again])
    assert fault.path == "metadata.name"


# ---- the other judges can say no


@pytest.mark.parametrize(
    ("which", "path", "value"),
    [
        ("Service", f"{BOX}.lifecycle", {}),
        ("Service", f"{POD}.timeoutSeconds", "soon"),
        ("Trigger", "spec.delivery.retry", "3"),
        ("Broker", "spec.brokr", {}),
        ("DomainMapping", "spec.ref.nam", "x"),
    ],
)
def test_the_crds_refuse(everything: list[Object], crds: Any, which: str, path: str, value: Any) -> None:
    assert crds(everything) == []
    put(chosen(everything, which), path, value)
    assert len(crds(everything)) == 1


def test_the_crds_refuse_a_kafka_source(everything: list[Object], crds: Any) -> None:
    put(chosen(everything, "KafkaSource"), "spec.offset", "earliest")
    assert crds(everything) == ["KafkaSource: .spec.offset: unknown"]


@pytest.mark.parametrize(
    ("which", "path", "value"),
    [
        ("Service", f"{BOX}.lifecycle", {}),
        ("Service", note("min-scale"), 1),
        ("Trigger", "spec.delivery.timeouts", "PT1S"),
        ("Broker", "spec.brokr", {}),
        ("DomainMapping", "spec.ref.nam", "x"),
    ],
)
def test_the_typed_models_refuse(
    everything: list[Object], typed_models: Any, which: str, path: str, value: Any
) -> None:
    assert typed_models(everything) == []
    put(chosen(everything, which), path, value)
    assert typed_models(everything)
