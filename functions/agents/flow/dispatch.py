"""`dispatch`: sends records to other topics, or drops them, by conditions. The first that holds decides."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from ....record import Record
from ...api import Context, Declaration, Example, Results, Routed
from ...config import AgentConfig, ExpressionText
from ...context import open_record
from ...expressions import compile_expression


class RouteConfig(BaseModel):
    """`action: drop` ends the record here; otherwise it goes to the topic `destination`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: ExpressionText
    destination: str | None = None
    action: Literal["dispatch", "drop"] = "dispatch"

    @model_validator(mode="after")
    def _destination_fits(self) -> RouteConfig:
        if self.action == "drop" and self.destination:
            raise ValueError("a route that drops cannot have a destination")
        if self.action == "dispatch" and not self.destination:
            raise ValueError("a route needs a 'destination', or 'action: drop'")
        return self


class DispatchConfig(AgentConfig):
    """Routes in the order in which they are tried."""

    routes: tuple[RouteConfig, ...] = ()


class Dispatch:
    def __init__(self, config: DispatchConfig, context: Context) -> None:
        self._routes = [
            (compile_expression(route.when, condition=True), route.destination) for route in config.routes
        ]

    def process(self, record: Record) -> Results:
        scope = open_record(record).scope()
        for condition, destination in self._routes:
            if condition.test(scope):
                return (Routed(destination, record),) if destination else ()
        return (record,)


AGENT = Declaration(
    type="dispatch",
    kind="processor",
    summary="Sends records to other topics, or drops them; those that no condition fits pass on.",
    config=DispatchConfig,
    handler=Dispatch,
    topic_fields=("routes[].destination",),
    example=Example(
        configuration={
            "routes": [
                {"when": "value.language == 'de'", "destination": "german"},
                {"when": "value.spam", "action": "drop"},
            ]
        },
        record=Record('{"language":"en","spam":false}', "k"),
        results=[Record('{"language":"en","spam":false}', "k")],
    ),
)
