"""The autoscaler's arithmetic, second by second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.local.autoscaler import Autoscaler, ScalePolicy

POLICY = ScalePolicy(minimum=0, maximum=10, target=10, window=60)


def drive(scaler: Autoscaler, loads: list[float], start: int = 0, running: int = 0) -> list[int]:
    wanted = []
    for second, load in enumerate(loads, start):
        scaler.observe(second, load)
        running = scaler.wanted(second, running)
        wanted.append(running)
    return wanted


def test_nothing_to_do_means_no_copy() -> None:
    assert drive(Autoscaler(POLICY), [0] * 5) == [0] * 5


def test_a_load_is_shared_by_as_many_copies_as_carry_it() -> None:
    assert drive(Autoscaler(POLICY), [21] * 70)[-1] == 3  # 21 / (10 * 0.7)


def test_zero_comes_a_whole_window_after_the_last_load() -> None:
    wanted = drive(Autoscaler(POLICY), [1] * 5 + [0] * 70)
    assert wanted[5 + 58] == 1
    assert wanted[-1] == 0


def test_the_delay_holds_copies_longer() -> None:
    wanted = drive(Autoscaler(ScalePolicy(maximum=10, target=10, window=10, delay=20)), [1] * 5 + [0] * 40)
    assert wanted[5 + 25] == 1
    assert wanted[-1] == 0


def test_a_sudden_load_starts_copies_at_once_and_stops_none_while_it_lasts() -> None:
    wanted = drive(Autoscaler(POLICY), [1] * 60 + [70] * 7 + [1] * 20, running=1)
    assert wanted[59] == 1
    assert max(wanted[60:67]) == 10
    assert wanted[-1] == 10  # still in the panic's window


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200), st.integers(0, 3), st.integers(3, 9))
def test_the_bounds_hold_for_every_load(loads: list[float], minimum: int, maximum: int) -> None:
    scaler = Autoscaler(ScalePolicy(minimum=minimum, maximum=maximum, target=5, window=10))
    assert all(minimum <= copies <= maximum for copies in drive(scaler, loads))
