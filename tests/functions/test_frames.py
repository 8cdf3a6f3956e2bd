"""Frames survive any cutting of the stream, and nothing else passes for one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import TidemillError
from tidemill.functions import frames
from tidemill.record import Event

MESSAGES = [
    frames.Hello("u", "pass", 7, 64),
    frames.Deliver(1, "t", 5, b"blob", None),
    frames.Finished(1, [("out", Event({"id": "1", "source": "/s", "type": "t"}, b"x"))]),
    frames.Refused(2, "no", "ValueError", "INVALID_RECORD", True, [("A", "b")]),
    frames.Later(3, 0.5),
    frames.Stop(),
]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_any_cutting_gives_the_same_messages(cuts: list[int]) -> None:
    stream = frames.encode(MESSAGES[:3]) + frames.encode(MESSAGES[3:])
    received: list[Any] = []
    reader = frames.Reader(received.append)
    position = 0
    for cut in cuts:
        reader.feed(stream[position : position + cut])
        position += cut
    reader.feed(stream[position:])
    assert [type(message) for message in received] == [type(message) for message in MESSAGES]
    assert received[2].outputs[0][1].data == b"x"


@pytest.mark.parametrize(
    "stream",
    [b"\x00\x00\x00\x01\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x91\x90"],
    ids=["no list", "too long", "no message"],
)
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    with pytest.raises(TidemillError, match="frame"):
        frames.Reader(lambda message: None).feed(stream)
