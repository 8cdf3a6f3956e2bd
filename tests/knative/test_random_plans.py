"""Whatever the plan, what is rendered is valid, named without collisions, and can be read back."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.application.plan import GatewayPlan, Plan, TopicPlan, TriggerPlan, UnitPlan
from tidemill.functions.unit import AgentSpec, DiskSpec, ErrorsSpec, ResourcesSpec, ScaleSpec, UnitSpec
from tidemill.knative.read import read
from tidemill.knative.render import RenderOptions, render

# Small alphabets make near collisions likely.
TOPICS = st.one_of(
    st.from_regex(r"[aA._-]{1,3}b?", fullmatch=True), st.from_regex(r"[A-Za-z0-9._-]{1,200}", fullmatch=True)
).filter(lambda name: name not in (".", ".."))
IDS = st.from_regex(r"[aA._ -]{1,3}", fullmatch=True) | st.text(min_size=1, max_size=80)
FILTERS = st.sampled_from(
    [(), ({"exact": {"type": "a"}},), ({"not": {"suffix": {"source": "b"}}}, {"cesql": "x = 1"})]
)


POLICIES = st.sampled_from(["fail", "skip", "dead-letter"])


@st.composite
def scales(draw: st.DrawFn, disk: bool) -> ScaleSpec:
    most = 0 if disk else draw(st.sampled_from([0, 1, 3, 50]))
    return ScaleSpec(
        min=draw(st.integers(0, 1 if disk else most or 4)),
        max=most,
        target=draw(st.none() | st.floats(0.01, 10_000)),
        metric=draw(st.sampled_from(["concurrency", "rps"])),
        window=draw(st.integers(6, 3600)),
        delay=draw(st.integers(0, 3600)),
        concurrency=draw(st.none() | st.integers(0, 1000)),
    )


@st.composite
def units(draw: st.DrawFn, application: str, identity: str, topics: list[str]) -> UnitSpec:
    disk = draw(st.sampled_from([None, None, DiskSpec(), DiskSpec(type="fast", size=1)]))
    kind = draw(st.sampled_from(["source", "processor", "sink", "service"]))
    takes = kind in ("processor", "sink")
    configuration = draw(st.dictionaries(st.text(max_size=3), st.sampled_from(["${secrets.a-b.c}", "", 4])))
    return UnitSpec(
        application=application,
        id=identity,
        kind=kind,
        agents=(AgentSpec(id=identity, type="identity", configuration=configuration, disk=disk is not None),),
        input=draw(st.sampled_from(topics)) if takes else None,
        output=draw(st.sampled_from(topics)) if kind in ("source", "processor") else None,
        errors=ErrorsSpec(
            on_failure=draw(POLICIES),
            retries=draw(st.integers(0, 2000)),
        ),
        resources=ResourcesSpec(
            parallelism=draw(st.integers(1, 20)),
            size=draw(st.integers(1, 8)),
            disk=disk,
            scale=draw(scales(disk is not None)),
        ),
        topics=tuple(topics),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    application = draw(st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True))
    topics = draw(st.lists(TOPICS, min_size=1, max_size=5, unique=True))
    planned = {
        name: TopicPlan(
            name=name,
            partitions=draw(st.integers(1, 100)),
            format=draw(st.sampled_from(["cloudevents", "cloudevents", "plain"])),
        )
        for name in topics
    }
    identities = draw(st.lists(IDS, max_size=4, unique=True))
    specs = [draw(units(application, identity, topics)) for identity in identities]
    return Plan(
        application=application,
        units=tuple(UnitPlan(spec=spec, why="") for spec in specs),
        topics=tuple(planned.values()),
        triggers=tuple(
            TriggerPlan(
                name=spec.id,
                unit=spec.id,
                topic=spec.input,
                on_failure=spec.errors.on_failure,
                retries=spec.errors.retries,
                filters=() if planned[spec.input].format == "plain" else draw(FILTERS),
            )
            for spec in specs
            if spec.input is not None
        ),
        gateways=draw(st.sampled_from([(), (GatewayPlan(id="g", type="produce", topic=topics[0]),)])),
    )


OPTIONS = st.builds(
    RenderOptions,
    namespace=st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    bootstrap_servers=st.sampled_from([(), ("kafka:9092",), ("a:1", "b:2")]),
    domain=st.sampled_from([None, "a.example.com"]),
    ingress_class=st.sampled_from([None, "kourier.ingress.networking.knative.dev"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), OPTIONS)
def test_random_plans(own_rules: Any, typed_models: Any, plan: Plan, options: RenderOptions) -> None:
    found = render(plan, options)
    assert own_rules(found) == []
    assert typed_models(found) == []
    names = [(item["kind"], item["metadata"]["name"]) for item in found]
    assert len(set(names)) == len(names)
    back = read(found)
    assert {unit.spec().id: unit.spec() for unit in back.units} == {u.spec.id: u.spec for u in plan.units}
    topics = {broker.topic for broker in back.brokers}
    assert {topic.name for topic in plan.topics} <= topics
    starts = {(t.subscriber, t.topic) for t in back.triggers}
    assert len(starts) == len(back.triggers) == len(plan.triggers)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), OPTIONS)
def test_random_plans_by_the_crds(crds: Any, plan: Plan, options: RenderOptions) -> None:
    assert crds(render(plan, options)) == []
