"""Plan → Knative manifests: the objects that a cluster gets and that the local platform runs.

Called by `cli/` and `local/`. Deterministic, in apply order (what others refer to comes first, what
produces events last), and free of secrets: configurations keep `${secrets.…}` and Secrets are mounted.
`read.py` is the way back; `validate.py` refuses what a cluster would refuse.
"""

from __future__ import annotations

from ..application.plan import Plan
from . import gateway, setup, units, wiring
from .objects import Object
from .options import RenderOptions as RenderOptions
from .scope import KIND, scope_of

_ORDER = (
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "Job",
    "Broker",
    "Service",
    "DomainMapping",
    "Trigger",
    "KafkaSource",
)


def render(plan: Plan, options: RenderOptions | None = None) -> list[Object]:
    """The objects of an application in apply order. Raises ConfigurationError."""
    scope = scope_of(plan, options or RenderOptions())
    found = [*wiring.kafka(scope), *setup.setup(scope), *wiring.brokers(scope)]
    for unit in plan.units:
        found += units.unit(scope, unit)
    found += wiring.starts(scope)
    found += gateway.gateway(scope)
    return sorted(found, key=_apply_order)


def apply_rank(found: Object) -> int:
    """Where an object stands in apply order. Units that are sources come last: nothing may flow earlier."""
    if found["metadata"].get("annotations", {}).get(KIND) == "source":
        return len(_ORDER)
    return _ORDER.index(found["kind"])


def _apply_order(found: Object) -> tuple[int, str]:
    return apply_rank(found), found["metadata"]["name"]
