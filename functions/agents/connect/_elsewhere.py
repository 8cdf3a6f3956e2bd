"""The handler of agents that no function of Tidemill can run: it refuses to start."""

from __future__ import annotations

from typing import Any

from ....errors import ConfigurationError
from ...api import Context

CONNECT = "a worker of Kafka Connect beside the cluster's Kafka, which needs a JVM"
CAMEL = "an integration of Apache Camel on the cluster, which needs a JVM"


def refusing(type_name: str, runs_on: str) -> Any:
    """A handler that names what would run the agent."""

    def create(config: Any, context: Context) -> Any:
        raise ConfigurationError(
            f"{type_name} '{context.agent}' cannot run as a function: it is run by {runs_on}"
        )

    return create
