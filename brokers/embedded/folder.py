"""The state folder's lock: one living run per folder.

Taken by the broker before it opens the file. The lock is the kernel's and ends with the process, however
it ends; the number in the lock file only serves the message for the second comer.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ...errors import StateInUse

_LOCK = "lock"


class FolderLock:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds events and secrets
        self._file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StateInUse(str(folder), int(owner) if owner.isdigit() else None) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._file)
