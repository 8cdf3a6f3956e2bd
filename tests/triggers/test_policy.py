"""Policies: how long the waits are, when it is enough, and what a Trigger's `delivery` means."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.errors import ConfigurationError
from tidemill.triggers.policy import RetryPolicy, gives_up, of_delivery, parse_duration, wait_after


def waits(policy: RetryPolicy, count: int) -> list[float]:
    return [round(wait_after(policy, attempt), 3) for attempt in range(1, count + 1)]


def test_exponential_waits_double_up_to_the_cap() -> None:
    assert waits(RetryPolicy(delay=0.5), 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_linear_waits_grow_by_the_delay_up_to_the_cap() -> None:
    assert waits(RetryPolicy(backoff="linear", delay=10), 8) == [10, 20, 30, 40, 50, 60, 60, 60]


def test_the_millionth_wait_can_be_computed() -> None:
    assert wait_after(RetryPolicy(), 10**6) == 60


@pytest.mark.parametrize("on_failure", ["skip", "dead-letter"])
def test_n_retries_are_n_further_attempts(on_failure: Any) -> None:
    policy = RetryPolicy(on_failure, 2)
    assert [gives_up(policy, attempt, permanent=False) for attempt in (1, 2, 3)] == [False, False, True]
    assert gives_up(policy, 1, permanent=True)
    assert gives_up(RetryPolicy(on_failure, 0), 1, permanent=False)


def test_fail_never_gives_up() -> None:
    assert not gives_up(RetryPolicy("fail", 2), 10**6, permanent=True)


def test_delivery_of_a_trigger() -> None:
    sink = {"ref": {"kind": "Service", "name": "x"}}
    policy = of_delivery(
        {
            "retry": 5,
            "backoffPolicy": "linear",
            "backoffDelay": "PT0.5S",
            "timeout": "PT2M",
            "deadLetterSink": sink,
        }
    )
    assert policy == RetryPolicy("dead-letter", 5, "linear", 0.5, 60, 120)


def test_what_a_trigger_leaves_out() -> None:
    assert of_delivery({}) == RetryPolicy("skip", 0, "exponential", 0.2, 60, 600)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0.2S", 0.2),
        ("PT10S", 10),
        ("PT2M", 120),
        ("PT1H30M", 5400),
        ("P1D", 86_400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("PT1,5S", 1.5),
        ("PT0S", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "10s", "PT1.2.3S", "PT-1S", "P1Y", "P1M", "PT1S ", "pt1s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ISO 8601"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("delivery", "words"),
    [
        ({"retry": -1}, "retries"),
        ({"retry": "3"}, "retries"),
        ({"retry": True}, "retries"),
        ({"backoffPolicy": "constant"}, "back-?off policy 'constant'"),
        ({"backoffDelay": 5}, "backoffDelay"),
        ({"timeout": "PT0S"}, "timeout"),
        ({"retrys": 3}, "delivery field 'retrys'"),
    ],
)
def test_faults_of_a_delivery(delivery: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        of_delivery(delivery)


@pytest.mark.parametrize(
    "fields", [{"on_failure": "ignore"}, {"delay": -1.0}, {"cap": -1.0}, {"timeout": 0.0}]
)
def test_faults_of_a_policy(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**fields)
