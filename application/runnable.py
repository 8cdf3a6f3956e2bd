"""Refuses what no function can run here: agents that a cluster or a JVM serves, databases out of reach.

Called by `tidemill run` before anything starts. What is refused is named, with what would run it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..functions.agents.data._datasource import SERVICES as REACHABLE
from ..functions.api import Declaration
from ..functions.unit import ResourceSpec
from .planner import Planned
from .problems import Problems, listed
from .references import service_of
from .wiring import Wired


def check_runnable(planned: Planned) -> None:
    """Raises ApplicationError with every agent that cannot run on this machine."""
    services = {name: spec for unit in planned.plan.units for name, spec in unit.spec.services.items()}
    problems = Problems()
    for pipeline in planned.pipelines:
        for wired in pipeline:
            if wired.declared is not None:
                _check(wired, wired.declared, services, problems)
    problems.raise_if_any()


def _check(
    wired: Wired, declared: Declaration, services: Mapping[str, ResourceSpec], problems: Problems
) -> None:
    what = f"Agent '{wired.agent.label}' cannot run here"
    if declared.runs_on:
        why = f"Tidemill plans the type '{wired.type}', and has no function for it"
        problems.add(f"{what}: it is run by {declared.runs_on}", wired.agent.type.at, why=why)
    service = service_of(wired, services)
    if "datasource" in declared.resource_fields and service is not None and service not in REACHABLE:
        at = wired.agent.configuration.entries["datasource"].at
        why = f"these can be reached: {listed(sorted(REACHABLE))}"
        problems.add(f"{what}: its datasource has the service '{service}'", at, why=why)
