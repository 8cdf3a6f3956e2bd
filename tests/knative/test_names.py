"""Names: legal for any words, stable for ever, different for different words."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.knative import durations, names

LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
APPLICATIONS = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
WORDS = st.text(min_size=1, max_size=300) | st.from_regex(r"[-a-z0-9]{1,70}", fullmatch=True)


def test_names_do_not_change() -> None:
    """A renamed Trigger loses its offsets: these are promises."""
    assert names.of_broker("shop", "Orders.v1") == "shop-orders-v1-evjekp"
    assert names.of_unit("shop", "extract") == "shop-extract-ereo5j"
    assert names.of_trigger("shop", "extract", "Orders.v1") == "shop-extract-orders-v1-d7bxgw"
    assert names.of_gateway("shop") == "shop-gateway"
    assert names.of_secret("shop", "open-ai") == "shop-open-ai"


@given(APPLICATIONS, WORDS, WORDS)
def test_any_words_give_legal_names(application: str, one: str, two: str) -> None:
    made = [
        names.of_broker(application, one),
        names.of_unit(application, one),
        names.of_trigger(application, one, two),
        names.of_gateway(application),
        names.of_kafka(application),
        names.of_secret(application, one),
        names.with_content(names.of_unit(application, one), two.encode("utf-8", "surrogatepass")),
    ]
    assert all(LABEL.fullmatch(name) for name in made), made
    assert len(names.of_unit(application, one)) <= names.LONGEST_SERVICE
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", names.label(one))


@given(st.lists(st.tuples(APPLICATIONS, WORDS), min_size=2, max_size=20, unique=True))
def test_different_words_give_different_names(pairs: list[tuple[str, str]]) -> None:
    made = [names.of_unit(*pair) for pair in pairs] + [names.of_gateway(a) for a in {a for a, _ in pairs}]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "words",
    [
        [("a", "b-c"), ("a-b", "c")],
        [("a", "Orders.v1"), ("a", "orders-v1"), ("a", "orders_v1")],
        [("a", "x" * 100), ("a", "x" * 101)],
        [("a", "ü"), ("a", "ö"), ("a", "-")],
    ],
)
def test_the_usual_collisions(words: list[tuple[str, str]]) -> None:
    for one, two in itertools.combinations(words, 2):
        assert names.of_broker(*one) != names.of_broker(*two)
        assert names.of_unit(*one) != names.of_unit(*two)


@given(st.integers(min_value=0, max_value=10_000_000))
def test_iso_durations(tenths: int) -> None:
    assert durations.from_iso(durations.iso(tenths / 10)) == pytest.approx(tenths / 10)


@pytest.mark.parametrize(
    ("seconds", "text"), [(310, "PT5M10S"), (0.1, "PT0.1S"), (0, "PT0S"), (3600, "PT1H"), (0.01, "PT0.1S")]
)
def test_iso_spelling(seconds: float, text: str) -> None:
    assert durations.iso(seconds) == text


@pytest.mark.parametrize("text", ["", "P", "PT", "10s", "PT1S1M", "pt1s", "PT-1S", "1D"])
def test_no_iso_duration(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        durations.from_iso(text)


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1m0s", 60), ("1h", 3600), ("0s", 0)])
def test_go_durations(text: str, seconds: int) -> None:
    assert durations.from_go(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "1.5s", "1d", "-6s"])
def test_no_go_duration(text: str) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        durations.from_go(text)
