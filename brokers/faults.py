"""Death on request, for the tests of crash safety.

`TIDEMILL_FAULT=name[:n]` kills the process with SIGKILL when it passes the named point for the n-th
time (default: the first). Brokers, workers and the local platform mark their points with `fault`;
unset, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_name, _, _count = os.environ.get("TIDEMILL_FAULT", "").partition(":")
_left = int(_count or 1)


def fault(name: str) -> None:
    """Die here, if this is the pass that was asked for."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
