"""Logging of every process: quiet when well, to stderr.

Called once at the start of a process by `cli/run.py`, `worker.py`, `serve.py` and `local/parent.py`.
Libraries that tell of each request at INFO are held at WARNING: a line per event is noise.
"""

from __future__ import annotations

import logging
import sys

_TALKATIVE = ("httpx", "httpx2", "openai", "uvicorn", "websockets", "watchfiles", "kafka", "botocore")


def configure() -> None:
    """One line per message: level, logger, text."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
