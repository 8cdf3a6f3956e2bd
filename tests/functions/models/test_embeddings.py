"""MiniLM itself, in this process."""

from __future__ import annotations

import math
from array import array

import pytest

from tidemill.functions.models.embeddings import DIMENSIONS, MAX_TOKENS, Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def vector(embedder: Embedder, text: str) -> array[float]:
    return array("f", embedder.embed(text).vector)


def closeness(embedder: Embedder, one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(embedder, one), vector(embedder, other), strict=True))


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("The cat sits on the mat.", "A kitten is lying on a rug.", "Share prices fell sharply on Monday."),
        ("How do I return my headphones?", "Sending back a product", "The recipe needs two eggs."),
        ("good for jogging", "comfortable while running", "the battery can be replaced"),
    ],
)
def test_what_means_the_same_is_closer(embedder: Embedder, text: str, near: str, far: str) -> None:
    assert closeness(embedder, text, near) > closeness(embedder, text, far) + 0.2


@pytest.mark.parametrize("text", ["", "x", "多言語 текст 🎧", "word " * 1000, "x" * 100_000])
def test_every_text_gives_a_unit_vector(embedder: Embedder, text: str) -> None:
    found = vector(embedder, text)
    assert len(found) == DIMENSIONS
    assert math.isclose(math.hypot(*found), 1, abs_tol=1e-5)


def test_a_text_is_read_up_to_its_limit(embedder: Embedder) -> None:
    long = embedder.embed("word " * 1000)
    assert long.tokens == MAX_TOKENS
    assert long == embedder.embed("word " * 1000 + "and something else")
    assert long != embedder.embed("and something else " + "word " * 1000)


def test_the_reference_model_agrees(embedder: Embedder) -> None:
    """The similarities known of the full model, to what eight bits cost."""
    assert closeness(embedder, "That is a happy person", "That is a happy dog") == pytest.approx(
        0.695, abs=0.03
    )
    assert closeness(embedder, "That is a happy person", "That is a very happy person") == pytest.approx(
        0.943, abs=0.03
    )
