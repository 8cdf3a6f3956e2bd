"""`query-vector-db`: finds what is near a vector, or runs any other query of a vector database."""

from __future__ import annotations

from ....record import Record
from ...api import Declaration, Example
from ...unit import ResourceSpec
from ._datasource import DATABASE_TYPES
from ._query import Query, QueryConfig

_NEAREST = """\
select name from (select 'cat' as name, '[1,0]' as place union all select 'car', '[0,1]')
order by vec_distance_cosine(place, ?) limit 1"""

AGENT = Declaration(
    type="query-vector-db",
    kind="processor",
    summary="Runs a query on a vector database or datasource and stores its rows in the record.",
    config=QueryConfig,
    handler=Query,
    extra="sql",
    resource_fields={"datasource": DATABASE_TYPES},
    example=Example(
        configuration={
            "datasource": "documents",
            "query": _NEAREST,
            "fields": ["value.embeddings"],
            "output-field": "value.nearest",
        },
        record=Record('{"embeddings":[0.9,0.1]}', "k"),
        results=[Record('{"embeddings":[0.9,0.1],"nearest":[{"name":"cat"}]}', "k")],
        resources=[
            ResourceSpec(
                id="documents",
                type="vector-database",
                configuration={"service": "sqlite", "path": ":memory:"},
            )
        ],
    ),
)
