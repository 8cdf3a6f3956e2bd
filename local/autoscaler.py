"""How many copies of a unit should run: Knative's pod autoscaler in small.

Asked by `pool.py` once a second, and at once when something waits for a unit at zero. Pure: time
comes as an argument. As in Knative, the wanted number is the average load over the stable window
divided by what one copy should carry; a sudden load (twice what runs could carry, over a tenth of
the window) starts copies at once and stops none until the panic has passed; a unit goes to zero when
nothing happened for a whole window, and not before `delay` after that.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

UTILISATION = 0.7  # Knative's container-concurrency-target-percentage
PANIC_WINDOW = 0.1
PANIC_THRESHOLD = 2.0


@dataclass(frozen=True, slots=True)
class ScalePolicy:
    """From the annotations of a unit's Service. `maximum` is never 0 here: this machine has an end."""

    minimum: int = 0
    maximum: int = 1
    target: float = 100.0  # of `metric` a copy
    metric: Literal["concurrency", "rps"] = "concurrency"
    window: float = 60.0  # seconds
    delay: float = 0.0  # seconds before fewer copies run


class Autoscaler:
    """Remembers the load of one unit over its window."""

    def __init__(self, policy: ScalePolicy) -> None:
        self.policy = policy
        self._samples: deque[tuple[float, float]] = deque()
        self._panic_until = -math.inf
        self._panic_peak = 0
        self._wanted: deque[tuple[float, int]] = deque()

    def observe(self, now: float, load: float) -> None:
        """The load at a moment: records in hand and waiting, or records per second."""
        self._samples.append((now, load))
        while self._samples[0][0] < now - self.policy.window:
            self._samples.popleft()

    def wanted(self, now: float, running: int) -> int:
        """How many copies should run now."""
        policy = self.policy
        stable = self._copies(now, policy.window)
        panic = self._copies(now, max(policy.window * PANIC_WINDOW, 1.0))
        if running and panic >= PANIC_THRESHOLD * running:
            self._panic_until, self._panic_peak = now + policy.window, max(panic, self._panic_peak)
        if now < self._panic_until:
            self._panic_peak = max(self._panic_peak, panic)
            stable = max(stable, self._panic_peak, running)
        else:
            self._panic_peak = 0
        stable = self._delayed(now, stable)
        return min(max(stable, policy.minimum), policy.maximum)

    def _copies(self, now: float, window: float) -> int:
        loads = [load for at, load in self._samples if at >= now - window]
        if not loads or not any(loads):
            return 0
        return max(math.ceil(sum(loads) / len(loads) / (self.policy.target * UTILISATION)), 1)

    def _delayed(self, now: float, copies: int) -> int:
        """The largest number wanted during the last `delay` seconds."""
        self._wanted.append((now, copies))
        while self._wanted[0][0] < now - self.policy.delay:
            self._wanted.popleft()
        return max(number for _, number in self._wanted)
