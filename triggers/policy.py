"""What happens to a record that fails: how often it is tried again, when, and what then.

Made by the local platform from a unit's `errors` (`of_errors`) or from a Trigger's `delivery`
(`of_delivery`); asked by the dispatcher after each failed attempt. Waits are counted as the Kafka
data plane of Knative counts them, so that both platforms wait alike, and never exceed the cap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigurationError, nearest

OnFailure = Literal["fail", "skip", "dead-letter"]
Backoff = Literal["exponential", "linear"]

DEFAULT_TIMEOUT = 600.0
DELIVERY_BACKOFF = 0.2  # Knative's, when `retry` comes without `backoffDelay`
LONGEST_WAIT = 60.0

# The last three are checked by others (the sink) or read by no data plane that we follow.
_DELIVERY_FIELDS = (
    "retry", "backoffPolicy", "backoffDelay", "timeout", "deadLetterSink", "retryAfterMax", "format",
)  # fmt: skip
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?\Z"
)
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` further attempts, then `on_failure`. Times in seconds; no `timeout` = no limit."""

    on_failure: OnFailure = "fail"
    retries: int = 0
    backoff: Backoff = "exponential"
    delay: float = 0.05
    cap: float = LONGEST_WAIT
    timeout: float | None = DEFAULT_TIMEOUT

    def __post_init__(self) -> None:
        _choice("on-failure", self.on_failure, ("fail", "skip", "dead-letter"))
        _choice("backoff policy", self.backoff, ("exponential", "linear"))
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(f"retries must be a whole number from 0 on, not {self.retries!r}")
        if self.delay < 0 or self.cap < 0:
            raise ConfigurationError("the back-off delay and its cap must not be negative")
        if self.timeout is not None and self.timeout <= 0:
            raise ConfigurationError("the timeout must be more than zero seconds")


def of_delivery(delivery: Mapping[str, Any]) -> RetryPolicy:
    """The policy of a Knative DeliverySpec. Without a dead-letter sink, Knative drops what fails."""
    for name in delivery:
        _choice("delivery field", name, _DELIVERY_FIELDS)
    return RetryPolicy(
        on_failure="dead-letter" if delivery.get("deadLetterSink") else "skip",
        retries=delivery.get("retry", 0),
        backoff=delivery.get("backoffPolicy", "exponential"),
        delay=_seconds_of(delivery, "backoffDelay", DELIVERY_BACKOFF),
        timeout=_seconds_of(delivery, "timeout", DEFAULT_TIMEOUT),
    )


def gives_up(policy: RetryPolicy, attempt: int, permanent: bool) -> bool:
    """Whether the failure of this attempt (1, 2, …) was the last one."""
    if policy.on_failure == "fail":
        return False
    return permanent or attempt > policy.retries


def wait_after(policy: RetryPolicy, attempt: int) -> float:
    """Seconds between the failure of this attempt (1, 2, …) and the next one."""
    factor = attempt if policy.backoff == "linear" else 1 << min(attempt, 40)
    return min(policy.cap, policy.delay * factor)


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration. Years and months have no fixed length and are refused."""
    found = _DURATION.match(text)
    if found is None or not any(found.groups()) or text.endswith("T"):
        raise ConfigurationError(f"'{text}' is not an ISO 8601 duration", hint="write it like PT0.2S or PT2M")
    counts = (float(part.replace(",", ".")) if part else 0.0 for part in found.groups())
    return sum(count * seconds for count, seconds in zip(counts, _SECONDS, strict=True))


def _seconds_of(delivery: Mapping[str, Any], field: str, default: float) -> float:
    text = delivery.get(field)
    if text is None:
        return default
    if not isinstance(text, str):
        raise ConfigurationError(f"delivery.{field} must be an ISO 8601 duration, not {text!r}")
    return parse_duration(text)


def _choice(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        guess = nearest(str(value), known)
        hint = f"did you mean '{guess}'?" if guess else None
        raise ConfigurationError(f"the {what} '{value}' is unknown; there are: {', '.join(known)}", hint=hint)
