"""`query`: runs a statement on a datasource and stores the rows in the record."""

from __future__ import annotations

from ....record import Record
from ...api import Declaration, Example
from ...unit import ResourceSpec
from ._query import Query, QueryConfig

AGENT = Declaration(
    type="query",
    kind="processor",
    summary="Runs a statement on a datasource and stores its rows, or the first one, in the record.",
    config=QueryConfig,
    handler=Query,
    extra="sql",
    resource_fields={"datasource": ("datasource",)},
    example=Example(
        configuration={
            "datasource": "shop",
            "query": "select ? as product, ? * 1.2 as price",
            "fields": ["value.product", "value.net"],
            "output-field": "value.offer",
            "only-first": True,
        },
        record=Record('{"product":"Aurora Sport","net":50}', "k"),
        results=[
            Record('{"product":"Aurora Sport","net":50,"offer":{"product":"Aurora Sport","price":60.0}}', "k")
        ],
        resources=[
            ResourceSpec(
                id="shop", type="datasource", configuration={"service": "sqlite", "path": ":memory:"}
            )
        ],
    ),
)
