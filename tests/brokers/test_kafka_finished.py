"""What is finished beyond the lowest unfinished offset, as Kafka's metadata holds it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tidemill.brokers.kafka.finished import (
    MOST_METADATA,
    Finished,
    fits,
    longest_prefix,
    read_finished,
)

offsets = st.sets(st.integers(100, 400))


@given(offsets)
def test_it_is_what_was_added_and_comes_back(done: set[int]) -> None:
    finished = Finished(100)
    finished.add(done)
    low = next(n for n in range(100, 500) if n not in done)
    assert finished.low == low
    assert finished.progress().beyond == {n for n in done if n > low}
    again = read_finished(finished.low, finished.metadata())
    assert again.progress() == finished.progress()
    assert all((n in again) == (n < low or n in done) for n in range(90, 420))


@given(offsets, st.integers(90, 410), st.integers(0, 50))
def test_a_range_is_all_its_offsets(done: set[int], start: int, length: int) -> None:
    one, other = Finished(100), Finished(100)
    one.add(done)
    other.add([*done, *range(start, start + length)])
    one.add_range(start, start + length)
    assert one.progress() == other.progress()


@given(offsets, offsets)
def test_merged_is_what_either_had(first: set[int], second: set[int]) -> None:
    one, other, both = Finished(100), Finished(100), Finished(100)
    one.add(first)
    other.add(second)
    both.add(first | second)
    one.merge(other)
    assert one.progress() == both.progress()


def test_a_stuck_key_with_ten_thousand_records_between_others_fits() -> None:
    finished = Finished(0)
    finished.add(range(1, 20_000, 2))
    assert fits(finished)


def test_what_does_not_fit_waits_but_never_the_lowest() -> None:
    chance = random.Random(1)
    full = Finished(0)
    scattered = sorted(chance.sample(range(1, 100_000), 50_000))
    count = longest_prefix(full, scattered)
    assert 0 < count < len(scattered)
    full.add(scattered[:count])
    assert len(full.metadata()) <= MOST_METADATA
    assert longest_prefix(full, scattered[count:]) == 0
    assert longest_prefix(full, [0, *scattered[count:]]) >= 1


def test_metadata_of_others_says_nothing() -> None:
    for text in (None, "", "a note", "t1:not base85 \x7f", "t1:0000000"):
        assert read_finished(7, text).progress() == (7, frozenset())
