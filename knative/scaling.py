"""How many copies of a unit run, and how many records one copy takes: `resources` as numbers.

Called by `render.py`. An ordered Trigger has at most one record per partition in flight. So
concurrency × copies must reach the number of partitions, or requests wait in queues and come back
as 503; copies beyond partitions ÷ concurrency would never get a record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..functions.unit import UnitSpec

CONCURRENCY = 4  # of one copy, unless `scale.concurrency` says: agents mostly wait for a model or database
MOST_CONCURRENT = 1000  # Knative's own limit


@dataclass(frozen=True, slots=True)
class Scaling:
    """`most` 0 = no bound; `concurrency` 0 = no limit."""

    least: int
    most: int
    concurrency: int


def scaling(unit: UnitSpec, partitions: int) -> Scaling:
    """The bounds of a unit whose input has so many partitions (0: it has no input)."""
    scale = unit.resources.scale
    if unit.kind == "source":  # two copies would read the same things twice
        return Scaling(1, 1, 1)
    if unit.kind == "service":  # reached by requests, not by a Trigger
        alone = 0 if unit.resources.disk is None else 1
        return Scaling(scale.min, scale.max or alone, scale.concurrency or 0)
    most = scale.max or max(_useful(unit, partitions), scale.min)
    if scale.concurrency is not None:
        return Scaling(scale.min, most, scale.concurrency)
    share = math.ceil(partitions / most)
    return Scaling(scale.min, most, min(max(CONCURRENCY, share), MOST_CONCURRENT))


def _useful(unit: UnitSpec, partitions: int) -> int:
    """`parallelism` 1 cannot be told from LangStream's default, so it bounds nothing; a larger number is
    the user's and bounds the copies."""
    if unit.resources.disk is not None:  # one writer of one folder
        return 1
    if unit.resources.parallelism > 1:
        return unit.resources.parallelism
    stated = unit.resources.scale.concurrency
    each = CONCURRENCY if stated is None else stated or partitions  # 0: one copy takes them all
    return max(1, math.ceil(partitions / max(each, 1)))
