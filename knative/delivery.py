"""A trigger's policy for failures as Knative's DeliverySpec.

Called by `render.py` for Triggers and KafkaSources alike. Two things always hold: there is a dead
letter sink (without one, Kafka's dispatcher drops an event when its attempts are used up), and the
three time-outs grow outwards.
"""

from __future__ import annotations

from typing import Any

from ..application.explain import FAIL_RETRIES, FAIL_STEP
from ..application.plan import TriggerPlan
from . import durations

# The host gives up first, so that its answer names the reason. It is what `functions/host.py` keeps.
HOST_DEADLINE = 300
# The dispatcher waits ten seconds more, for the way there and back. A cold start counts here too.
TRIGGER_TIMEOUT = 310
# Knative's proxies in between never cut first. At most 600, the largest that a stock cluster accepts.
REQUEST_TIMEOUT = 320

# Kafka's n-th exponential wait is delay × 2^n and has no upper limit. The ninth is 51 seconds; beyond
# that many retries the waits grow linearly instead, up to a minute.
DELAY, MOST_EXPONENTIAL, LONGEST_WAIT = 0.1, 9, 60.0


def dead_letter_topic(trigger: TriggerPlan) -> str | None:
    """The topic behind the trigger's dead letter sink: declared, or for `fail` the net."""
    if trigger.on_failure == "skip":
        return None
    return trigger.dead_letter or f"{trigger.topic}-deadletter"


def delivery(trigger: TriggerPlan, sink: dict[str, Any]) -> dict[str, Any]:
    """The DeliverySpec; `sink` is the unit's own `/skipped` or a dead-letter Broker."""
    retries, policy, delay = _back_off(trigger)
    return {
        "deadLetterSink": sink,
        "retry": retries,
        "backoffPolicy": policy,
        "backoffDelay": durations.iso(delay),
        "timeout": durations.iso(TRIGGER_TIMEOUT),
    }


def _back_off(trigger: TriggerPlan) -> tuple[int, str, float]:
    if trigger.on_failure == "fail":
        return FAIL_RETRIES, "linear", FAIL_STEP
    if trigger.retries <= MOST_EXPONENTIAL:
        return trigger.retries, "exponential", DELAY
    return trigger.retries, "linear", max(DELAY, round(LONGEST_WAIT / trigger.retries, 1))
