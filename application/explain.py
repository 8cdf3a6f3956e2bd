"""What a plan means: the guarantees of each platform for the application at hand.

Used by `tidemill plan`. The facts are the delivery rules of ARCHITECTURE.md; only those that concern
this plan are said, with the names of the units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .plan import Plan, TriggerPlan

PLATFORMS = ("embedded", "kafka", "knative")

# On Knative a Trigger with `fail` waits 10 s × n before attempt n, 1000 times.
FAIL_STEP = 10
FAIL_RETRIES = 1000
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One promise of a platform; `units` is empty when it is made to all."""

    platform: str
    about: str
    text: str
    units: tuple[str, ...] = ()


def guarantees(plan: Plan) -> tuple[Guarantee, ...]:
    """What each platform promises to this application."""
    return tuple(found for platform in PLATFORMS for found in _platform(platform, plan))


def lane_let_go_after() -> int:
    """Seconds until a Trigger with `fail` gives a record up on Knative."""
    return FAIL_STEP * FAIL_RETRIES * (FAIL_RETRIES + 1) // 2


def _platform(platform: str, plan: Plan) -> Iterator[Guarantee]:
    if plan.triggers:
        yield Guarantee(platform, "order", _ORDER[platform])
        yield Guarantee(platform, "effect", _EFFECT[platform])
    failures: dict[str, list[str]] = {}
    for trigger in plan.triggers:
        failures.setdefault(_on_failure(platform, trigger), []).append(trigger.unit)
    for text, units in failures.items():
        yield Guarantee(platform, "failure", text, tuple(units))
    if platform == "knative":
        yield from _only_on_knative(plan)


_ORDER = {
    "embedded": "per key; a failing or slow key holds up itself alone",
    "kafka": "per key; a failing or slow key holds up itself alone",
    "knative": "per partition; a record that is retried holds up the other keys of its partition",
}
_EFFECT = {
    "embedded": "once, on output topics and per-key state",
    "kafka": "once, on output topics, for readers of committed records; no per-key state",
    "knative": "at least once; a repeated event has the same id",
}


def _on_failure(platform: str, trigger: TriggerPlan) -> str:
    return (_on_knative if platform == "knative" else _by_dispatcher)(trigger)


def _by_dispatcher(trigger: TriggerPlan) -> str:
    attempts = _attempts(trigger.retries)
    if trigger.on_failure == "skip":
        return f"skip: {attempts}, then acknowledged and counted"
    if trigger.on_failure == "dead-letter":
        return f"dead-letter: {attempts}, then to {trigger.dead_letter} with the error headers"
    return "fail: the key's lane is held and retried for ever, at most a minute apart"


def _on_knative(trigger: TriggerPlan) -> str:
    attempts = _attempts(trigger.retries)
    if trigger.on_failure == "skip":
        return f"skip: {attempts} by the Trigger, then the unit's own /skipped counts it"
    if trigger.on_failure == "dead-letter":
        return f"dead-letter: {attempts} (one for a poison record), then to {trigger.dead_letter}"
    days = round(lane_let_go_after() / _DAY)
    return (
        f"fail: the lane is held and retried {FAIL_RETRIES} times, {FAIL_STEP} s longer apart each time; "
        f"it is let go after about {days} days, to a dead-letter Broker"
    )


def _attempts(retries: int) -> str:
    return "one attempt" if retries == 0 else f"up to {retries + 1} attempts with growing pauses"


def _only_on_knative(plan: Plan) -> Iterator[Guarantee]:
    plain = sorted({topic.name for topic in plan.topics if topic.format == "plain"})
    read = {trigger.topic: trigger.unit for trigger in plan.triggers}
    for topic in plain:
        if topic in read:
            text = f"the topic {topic} is written in plain form: it comes by a KafkaSource, in its order"
            yield Guarantee("knative", "foreign topic", text, (read[topic],))
    checks: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        ("source", lambda kind: kind == "source", "one copy, started by a PingSource or kept running"),
        ("service", lambda kind: kind == "service", "answers HTTP requests of its gateway; scales to zero"),
    )
    for about, fits, text in checks:
        units = tuple(unit.spec.id for unit in plan.units if fits(unit.spec.kind))
        if units:
            yield Guarantee("knative", about, text, units)
