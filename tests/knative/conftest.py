"""Plans to render, and the three judges of manifests: our own rules, the typed models, the CRDs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from support import crd_schemas

from tidemill.application.plan import (
    AssetPlan,
    GatewayPlan,
    Plan,
    StreamingCluster,
    TopicPlan,
    TriggerPlan,
    UnitPlan,
)
from tidemill.functions.unit import (
    AgentSpec,
    DiskSpec,
    ErrorsSpec,
    ResourceSpec,
    ResourcesSpec,
    ScaleSpec,
    UnitSpec,
)
from tidemill.knative.render import RenderOptions
from tidemill.knative.validate import validate

Object = dict[str, Any]
Case = tuple[Plan, RenderOptions]


def unit(application: str, id: str, kind: str = "processor", **more: Any) -> UnitPlan:
    configuration = more.pop("configuration", {})
    agents = (AgentSpec(id=id, type="identity", configuration=configuration),)
    return UnitPlan(
        spec=UnitSpec(application=application, id=id, kind=kind, agents=agents, **more),  # type: ignore[arg-type]
        why="first agent",
    )


def start(unit: str, topic: str, **more: Any) -> TriggerPlan:
    return TriggerPlan(name=f"{unit}-{topic}", unit=unit, topic=topic, **more)


def minimal() -> Case:
    """One unit with all the defaults."""
    plan = Plan(
        application="hello",
        units=(unit("hello", "greet", input="names", output="greetings", topics=("greetings", "names")),),
        topics=(TopicPlan(name="greetings"), TopicPlan(name="names")),
        triggers=(start("greet", "names"),),
    )
    return plan, RenderOptions()


def errors() -> Case:
    """Every policy, a source, a sink, filters, an address of Kafka."""
    application = "orders"
    plan = Plan(
        application=application,
        units=(
            unit(application, "poll", "source", output="Orders.v1"),
            unit(application, "check", input="Orders.v1", output="good", dead_letter="Orders.v1-deadletter"),
            unit(application, "store", "sink", input="good", errors=ErrorsSpec(on_failure="skip", retries=3)),
            unit(application, "bill", "sink", input="good"),
        ),
        topics=(
            TopicPlan(name="Orders.v1", partitions=3, creation_mode="create-if-not-exists"),
            TopicPlan(name="Orders.v1-deadletter", partitions=3, dead_letter_of="Orders.v1"),
            TopicPlan(name="good", partitions=1, implicit=True, config={"retention.ms": "60000"}),
        ),
        triggers=(
            start(
                "check", "Orders.v1", on_failure="dead-letter", retries=5, dead_letter="Orders.v1-deadletter"
            ),
            start("store", "good", on_failure="skip", retries=3, filters=({"exact": {"type": "order"}},)),
            start("bill", "good", filters=({"not": {"prefix": {"source": "/test"}}}, {"cesql": "total > 1"})),
        ),
        cluster=StreamingCluster(
            type="kafka", configuration={"admin": {"bootstrap.servers": "kafka-0:9092, kafka-1:9092"}}
        ),
    )
    return plan, RenderOptions(namespace="shop", image="example.com/orders:1", kafka_secret="kafka-auth")


def chat() -> Case:
    """A gateway with a domain, secrets, a service agent, an asset."""
    application = "chat"
    model = ResourceSpec(id="model", type="openai", configuration={"key": "${ secrets.open-ai.access-key }"})
    store = ResourceSpec(id="db", type="datasource", configuration={"url": "${secrets.db.url}"})
    plan = Plan(
        application=application,
        units=(
            unit(
                application,
                "answer",
                input="questions",
                output="answers",
                services={"model": model, "db": store},
                configuration={
                    "prompt": "{{secrets.prompts.main}}",
                    "fields": [{"x": "${secrets.Odd_Id.k}"}],
                },
            ),
            unit(application, "site", "service"),
        ),
        topics=(TopicPlan(name="answers"), TopicPlan(name="questions", creation_mode="create-if-not-exists")),
        triggers=(start("answer", "questions"),),
        gateways=(
            GatewayPlan(id="talk", type="chat", questions_topic="questions", answers_topic="answers"),
            GatewayPlan(id="pages", type="service", agent_id="site"),
        ),
        assets=(
            AssetPlan(id="table", type="jdbc-table", creation_mode="create-if-not-exists", datasource="db"),
        ),
    )
    return plan, RenderOptions(
        namespace="team-a", domain="chat.example.com", ingress_class="kourier.example.io"
    )


def plain() -> Case:
    """Topics that others write, a disk, and every knob of `scale`."""
    application = "sensors"
    scale = ScaleSpec(min=1, max=6, target=1.5, metric="rps", window=30, delay=15, concurrency=8)
    plan = Plan(
        application=application,
        units=(
            unit(
                application,
                "parse",
                input="raw",
                output="parsed",
                resources=ResourcesSpec(scale=scale, size=2),
            ),
            unit(
                application,
                "Sum_Up",
                input="parsed",
                output="raw",
                resources=ResourcesSpec(disk=DiskSpec(type="fast", size=1024**3), parallelism=4),
            ),
        ),
        topics=(TopicPlan(name="parsed", partitions=24), TopicPlan(name="raw", format="plain")),
        triggers=(start("parse", "raw", on_failure="skip"), start("Sum_Up", "parsed")),
    )
    return plan, RenderOptions(bootstrap_servers=("kafka.example.com:9092",))


CASES: dict[str, Callable[[], Case]] = {
    "minimal": minimal,
    "errors": errors,
    "chat": chat,
    "plain": plain,
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture
def named_case() -> Callable[[str], Case]:
    return lambda name: CASES[name]()


# ---- judges

Judge = Callable[[list[Object]], list[str]]


@pytest.fixture(scope="session")
def own_rules() -> Judge:
    return lambda found: [str(fault) for fault in validate(found)]


# The models are made from the CRDs' schemas, which list part of `delivery` and keep what else is in it.
TIMEOUT = "spec.delivery.timeout"


def _place(part: Any) -> str:
    return ".".join(map(str, part["loc"]))


@pytest.fixture(scope="session")
def typed_models() -> Judge:
    """The Knative models from PyPI, unknown fields forbidden; they have no kinds of Kafka."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of their fields shadow others: theirs to mend
        from cloudcoil.models.knative_eventing.eventing import v1 as eventing
        from cloudcoil.models.knative_serving.serving import v1 as serving
        from cloudcoil.models.knative_serving.serving import v1beta1 as mappings
    models = {
        "Service": serving.Service,
        "DomainMapping": mappings.DomainMapping,
        "Broker": eventing.Broker,
        "Trigger": eventing.Trigger,
    }

    def judge(found: list[Object]) -> list[str]:
        bad = []
        for item in found:
            model = models.get(item["kind"])
            if model is not None:
                try:
                    model.model_validate(item, extra="forbid")
                except ValidationError as error:
                    bad += [
                        f"{at}: {part['msg']}" for part in error.errors() if (at := _place(part)) != TIMEOUT
                    ]
        return bad

    return judge


@pytest.fixture(scope="session")
def crds() -> Judge:
    """The schemas of Knative's own CRDs, read as an API server with strict field validation does."""
    if not crd_schemas.schemas():
        pytest.skip("no CRDs here: set TIDEMILL_CRDS to a folder with Knative's CRDs, one a file")

    def judge(found: list[Object]) -> list[str]:
        bad = []
        for item in found:
            faults = crd_schemas.object_misfits(item)
            if faults is not None:
                bad += [f"{item['kind']}: {fault}" for fault in faults]
            elif "knative.dev" in item["apiVersion"]:
                bad.append(f"{item['kind']}: no CRD of {item['apiVersion']}")
        return bad

    return judge
