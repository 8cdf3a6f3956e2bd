"""Filters: Knative's dialects, and every fault with its place."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.record import Event
from tidemill.triggers.filters import FilterError, compile_filters

ORDER = Event(
    {"id": "1", "source": "/shop/eu", "type": "com.example.order.created", "amount": "7", "empty": ""}, b"{}"
)


def matches(*filters: dict[str, Any], event: Event = ORDER) -> bool:
    wanted = compile_filters(filters)
    assert wanted is not None
    return wanted(event)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"exact": {"type": "com.example.order.created"}}, True),
        ({"exact": {"type": "com.example.order"}}, False),
        ({"exact": {"type": "com.example.order.created", "source": "/shop/eu"}}, True),
        ({"exact": {"type": "com.example.order.created", "source": "/shop/us"}}, False),
        ({"exact": {"amount": "7"}}, True),
        ({"exact": {"missing": "7"}}, False),
        ({"exact": {"specversion": "1.0"}}, True),
        ({"exact": {"specversion": "0.3"}}, False),
        ({"prefix": {"source": "/shop"}}, True),
        ({"prefix": {"source": "/shop", "type": "com.example.payment"}}, False),
        ({"prefix": {"missing": "x"}}, False),
        ({"suffix": {"type": ".created"}}, True),
        ({"suffix": {"type": ".deleted"}}, False),
        ({"all": [{"prefix": {"type": "com."}}, {"suffix": {"type": ".created"}}]}, True),
        ({"all": [{"prefix": {"type": "com."}}, {"suffix": {"type": ".deleted"}}]}, False),
        ({"any": [{"prefix": {"type": "org."}}, {"suffix": {"type": ".created"}}]}, True),
        ({"any": [{"prefix": {"type": "org."}}, {"suffix": {"type": ".deleted"}}]}, False),
        ({"not": {"prefix": {"source": "/test/"}}}, True),
        ({"not": {"exact": {"amount": "7"}}}, False),
        ({"not": {"any": [{"exact": {"amount": "8"}}, {"not": {"exact": {"id": "1"}}}]}}, True),
    ],
)
def test_dialects(filter: dict[str, Any], expected: bool) -> None:
    assert matches(filter) is expected


def test_all_filters_of_a_trigger_must_match() -> None:
    assert matches({"exact": {"id": "1"}}, {"prefix": {"type": "com."}})
    assert not matches({"exact": {"id": "1"}}, {"prefix": {"type": "org."}})


def test_without_filters_every_event_passes() -> None:
    assert compile_filters() is None
    assert compile_filters([], {}) is None


def test_legacy_attributes() -> None:
    def passes(**attributes: str) -> bool:
        wanted = compile_filters([], attributes)
        assert wanted is not None
        return wanted(ORDER)

    assert passes(type="com.example.order.created", source="/shop/eu")
    assert not passes(type="com.example.order.created", source="/shop")
    assert passes(amount="")  # there, whatever its value
    assert passes(empty="")
    assert not passes(missing="")
    assert passes(specversion="")


def test_filters_count_before_legacy_attributes() -> None:
    wanted = compile_filters([{"exact": {"id": "1"}}], {"id": "2"})
    assert wanted is not None
    assert wanted(ORDER)


@pytest.mark.parametrize(
    ("filters", "path", "words"),
    [
        ([{}], "filters[0]", "exactly one dialect"),
        ([{"exact": {"id": "1"}, "prefix": {"id": "1"}}], "filters[0]", "exactly one dialect"),
        (["type"], "filters[0]", "exactly one dialect"),
        ({"exact": {"id": "1"}}, "filters", "list"),
        ([{"exact": {"id": "1"}}, {"exakt": {"id": "1"}}], "filters[1].exakt", "unknown dialect 'exakt'"),
        ([{"cesql": "amount > 100"}], "filters[0].cesql", "CloudEvents SQL"),
        ([{"exact": {}}], "filters[0].exact", "at least one attribute"),
        ([{"exact": ["id"]}], "filters[0].exact", "at least one attribute"),
        ([{"exact": {"id": 1}}], "filters[0].exact.id", "text"),
        ([{"prefix": {"id": ""}}], "filters[0].prefix.id", "not empty"),
        ([{"suffix": {"Order-Id": "1"}}], "filters[0].suffix", "Order-Id"),
        ([{"suffix": {"1st": "1"}}], "filters[0].suffix", "1st"),
        ([{"all": []}], "filters[0].all", "at least one filter"),
        ([{"any": {"exact": {"id": "1"}}}], "filters[0].any", "list"),
        ([{"not": [{"exact": {"id": "1"}}]}], "filters[0].not", "exactly one dialect"),
        ([{"not": {"all": [{"exact": {"id": "1"}}, {"x": {}}]}}], "filters[0].not.all[1].x", "unknown"),
    ],
)
def test_faults_are_named_with_their_place(filters: Any, path: str, words: str) -> None:
    with pytest.raises(FilterError, match=r"^filters") as caught:
        compile_filters(filters)
    assert caught.value.path == path
    assert words in caught.value.message


def test_the_nearest_dialect_is_proposed() -> None:
    with pytest.raises(FilterError) as caught:
        compile_filters([{"exakt": {"id": "1"}}])
    assert caught.value.hint == "did you mean 'exact'?"


@pytest.mark.parametrize("attributes", [{"Type": "x"}, {"type": 1}])
def test_faults_of_legacy_attributes(attributes: Any) -> None:
    with pytest.raises(FilterError, match=r"filter\.attributes"):
        compile_filters([], attributes)
