"""What expressions, templates, `compute` and the splitter cost per record.

`python benchmarks/expressions.py` prints one line per case, in microseconds; the best of five runs.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from tidemill.functions.agents.transform.compute import ComputeConfig, create
from tidemill.functions.context import open_record
from tidemill.functions.expressions import compile_expression, read_object, to_json
from tidemill.functions.splitting import SplitterConfig, create_splitter
from tidemill.functions.templates import compile_template, template_scope
from tidemill.record import Record

DOCUMENT = {
    "id": 12345,
    "name": "Ann",
    "score": 1.5,
    "active": True,
    "address": {"city": "Rome", "zip": "00100", "geo": {"lat": 41.9, "lon": 12.5}},
    "tags": ["red", "green", "blue"],
    "orders": [{"sku": f"item-{at}", "count": at, "price": 9.5 + at, "note": None} for at in range(10)],
    "text": "The quick brown fox jumps over the lazy dog. " * 6,
}
TEXT = to_json(DOCUMENT)
RECORD = Record(TEXT, "k1", (("h", "v"),), "topic", 1700000000000)
FIELDS = [
    {"name": "value.total", "expression": "value.score * 2 + value.orders[3].price"},
    {"name": "value.label", "expression": "fn:concat(value.name, '-', value.address.city)"},
]
WORDS = "Lorem ipsum dolor sit amet, consectetur adipiscing elit. " * 80


def microseconds(run: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(run, number=number, repeat=5)) / number * 1e6


def main() -> None:
    compute = create(ComputeConfig.model_validate({"fields": FIELDS}), None)  # type: ignore[arg-type]
    condition = compile_expression("value.score > 1 && value.address.city == 'Rome'", condition=True)
    filtered = compile_expression("fn:filter(value.orders, 'record.count > 5')")
    template = compile_template(
        "{{value.name}} of {{value.address.city}}: {{#value.tags}}{{.}} {{/value.tags}}"
    )
    by_length = create_splitter(SplitterConfig(chunk_size=200, chunk_overlap=20, length_function="length"))
    by_tokens = create_splitter(SplitterConfig(chunk_size=200, chunk_overlap=20))
    scope = open_record(RECORD).scope()
    names = template_scope(scope)
    cases: list[tuple[str, Callable[[], object], int]] = [
        (f"read {len(TEXT)} characters of JSON", lambda: read_object(TEXT), 5000),
        ("write them", lambda: to_json(DOCUMENT), 5000),
        ("compute, two fields, whole record", lambda: compute.process(RECORD), 2000),
        ("a condition", lambda: condition.test(scope), 20000),
        ("fn:filter over ten items", lambda: filtered.evaluate(scope), 5000),
        ("a template", lambda: template.render(names), 5000),
        (f"split {len(WORDS)} characters by length", lambda: by_length.split(WORDS), 20),
        ("split them by tokens", lambda: by_tokens.split(WORDS), 20),
    ]
    for name, run, number in cases:
        print(f"{name:40}{microseconds(run, number):10.1f} µs")


if __name__ == "__main__":
    main()
