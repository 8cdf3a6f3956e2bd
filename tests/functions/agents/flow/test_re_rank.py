"""re-rank: BM25 and MMR against a plain second implementation, and the rules around them."""

from __future__ import annotations

import asyncio
import json
import math
import random
from typing import Any

import pytest
from contract.context import results, running
from pydantic import ValidationError

from tidemill.errors import RecordError
from tidemill.functions.registry import declaration
from tidemill.record import Record

CONFIGURATION = {
    "field": "value.found",
    "output-field": "value.found",
    "algorithm": "MMR",
    "query-text": "value.q",
    "query-embeddings": "value.v",
    "text-field": "record.text",
    "embeddings-field": "record.vector",
}


def ranked(items: Any, query: Any = "", **more: Any) -> Any:
    async def run() -> Any:
        named = CONFIGURATION | {name.replace("_", "-"): value for name, value in more.items()}
        async with running("re-rank", named) as agent:
            [record] = await results(agent, Record(json.dumps({"q": query, "found": items}), "k"))
            return json.loads(record.value)["found"]

    return asyncio.run(run())


def by_the_book(items: list[dict[str, Any]], query: str, weight: float, k1: float, b: float) -> list[Any]:
    """MMR in the most literal form."""

    def likeness(one: list[float], other: list[float]) -> float:
        dot = sum(x * y for x, y in zip(one, other, strict=True))
        norms = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
        return dot / norms if norms else 0.0

    rest, chosen = list(items), []
    while rest:
        texts = [item["text"].split() for item in rest]
        average = sum(map(len, texts)) / len(texts)
        best, best_score = None, -math.inf
        for item, words in zip(rest, texts, strict=True):
            fit = 0.0
            for word in query.split():
                holding = sum(word in text for text in texts)
                often = words.count(word)
                rarity = math.log((len(texts) - holding + 0.5) / (holding + 0.5) + 1)
                fit += rarity * often * (k1 + 1) / (often + k1 * (1 - b + b * len(words) / average))
            repeats = [likeness(item["vector"], other["vector"]) for other in chosen]
            score = weight * fit - (1 - weight) * (sum(repeats) / len(repeats) if repeats else 0.0)
            if score > best_score:
                best, best_score = item, score
        chosen.append(best)
        rest.remove(best)
    return chosen


@pytest.mark.parametrize("seed", range(20))
def test_as_by_the_book(seed: int) -> None:
    dice = random.Random(seed)
    words = ["red", "blue", "shoe", "boot", "rain", "sun", "run", "walk"]
    items = [
        {
            "id": number,
            "text": " ".join(dice.choices(words, k=dice.randint(1, 12))),
            "vector": [dice.choice((-1.0, -0.5, 0.0, 0.25, 2.0)) for _ in range(4)],
        }
        for number in range(dice.randint(1, 12))
    ]
    query = " ".join(dice.choices(words, k=3))
    weight, k1, b = dice.choice((0.3, 0.5, 0.9)), dice.choice((1.2, 1.5)), dice.choice((0.5, 0.75))
    found = ranked(items, query, **{"lambda": weight}, k1=k1, b=b)
    assert [one["id"] for one in found] == [one["id"] for one in by_the_book(items, query, weight, k1, b)]


ITEMS = [{"text": "a", "vector": [1]}, {"text": "b", "vector": [1]}, {"text": "b", "vector": [1]}]


def test_the_best_are_kept_and_the_first_wins_ties() -> None:
    assert ranked(ITEMS, "b", max=1) == [ITEMS[1]]
    assert ranked(ITEMS, "c") == ITEMS


def test_without_a_query_or_algorithm_nothing_changes() -> None:
    for query in ("", None, "  "):
        assert ranked(ITEMS, query, max=1) == ITEMS
    assert ranked([1, "x"], "b", algorithm="none") == [1, "x"]
    assert ranked([], "b") == []


def test_empty_texts_and_vectors_of_nothing_do_not_shift_the_others() -> None:
    items = [{"text": "", "vector": [0, 0]}, {"text": "b", "vector": [0, 0]}, {"text": "", "vector": [1, 0]}]
    assert ranked(items, "b")[0] == items[1]
    assert ranked([items[0]], "b") == [items[0]]


def test_many_long_vectors_do_not_block() -> None:
    items = [{"text": f"w{n}", "vector": [float(n % 7)] * 700} for n in range(40)]
    assert ranked(items, "w7", max=10)[0] == items[7]


@pytest.mark.parametrize(
    "items",
    [
        None,
        "x",
        [{"text": "a"}],
        [{"vector": [1]}],
        [{"text": "a", "vector": ["x"]}],
        [{"text": "a", "vector": 1}],
    ],
)
def test_items_that_cannot_be_compared_are_the_records_error(items: Any) -> None:
    with pytest.raises(RecordError):
        ranked(items, "b")


@pytest.mark.parametrize("missing", ["query-text", "text-field", "embeddings-field"])
def test_an_accessor_that_is_missing_is_told_when_planning(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        declaration("re-rank").config.model_validate({**CONFIGURATION, missing: ""})
