"""The one model process of this user: found, started at first use, stopped when idle.

`ensure_running` is called by `client` before a request, `status` and `stop` by `tidemill model`.
The process belongs to no run: it leaves its starter's session, and whoever comes next uses it.
There is one per user, cache folder and version: it holds a lock for its whole life, and starters
take turns under a second lock, so that many at once start one. Both locks fall with their holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ... import __version__
from ...errors import TidemillError
from .weights import cache_folder

IDLE_SECONDS = 300.0
START_SECONDS = 30.0
STOP_SECONDS = 10.0
_LONGEST_SOCKET = 100  # what every Unix allows a socket's path, less a little
_UVICORN: dict[str, Any] = {
    "lifespan": "off",
    "ws": "none",
    "log_level": "warning",
    "access_log": False,
    "timeout_graceful_shutdown": 5,
}


class ModelProcessError(TidemillError):
    """The model process did not start or did not stop; `log` is where it says why."""

    def __init__(self, message: str, log: Path) -> None:
        self.log = log
        super().__init__(message, hint=f"see {log}")


@dataclass(frozen=True, slots=True)
class Place:
    """The files of the process, all beside each other in a folder only the user can enter."""

    socket: Path
    lock: Path  # held by the process; its content is the process id
    turn: Path  # held by whoever starts or stops the process
    log: Path


def place() -> Place:
    folder = _runtime_folder()
    # Another cache means other weights, another version another server: they do not share a process.
    mark = hashlib.sha256(f"{cache_folder()}\n{__version__}".encode()).hexdigest()[:8]
    base = folder / f"models-{mark}"
    if len(os.fsencode(base)) > _LONGEST_SOCKET - len(".llama.sock"):
        raise TidemillError(
            f"the path {base}.sock is too long for a socket", hint="set XDG_RUNTIME_DIR to a shorter path"
        )
    return Place(*(base.with_suffix(suffix) for suffix in (".sock", ".lock", ".turn", ".log")))


def ensure_running() -> Path:
    """The socket of the running model process; starts it where it is not running."""
    at = place()
    if _answers(at.socket):
        return at.socket
    with _turn(at):
        deadline = time.monotonic() + START_SECONDS
        starts = 0
        while not _answers(at.socket):
            if time.monotonic() > deadline:
                raise ModelProcessError("the model process does not answer", at.log)
            if _holder(at) is None:
                if starts == 2:
                    raise ModelProcessError("the model process ended while it started", at.log)
                starts += 1
                _start(at)
            time.sleep(0.02)
    return at.socket


def running() -> int | None:
    """The id of the model process, or None."""
    at = place()
    with _turn(at):
        return _holder(at)


def stop() -> int | None:
    """Ends the model process, by force if it must be, and says which it was."""
    at = place()
    with _turn(at):
        pid = _holder(at)
        if pid is None:
            return None
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                if _holder(at) is None:
                    return pid
                time.sleep(0.02)
    raise ModelProcessError(f"the model process {pid} does not end", at.log)


def _runtime_folder() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = os.path.isabs(given) and os.access(given, os.W_OK | os.X_OK)
    folder = Path(given) / "tidemill" if usable else cache_folder() / "run"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise TidemillError(
            f"cannot write to {folder}: {error.strerror}", hint="set TIDEMILL_CACHE to a folder you own"
        ) from error
    return folder


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _turn(at: Place) -> Iterator[None]:
    with open(at.turn, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holder(at: Place) -> int | None:
    """The process that holds the lock. Only asked in one's turn, since asking takes it for a moment."""
    with open(at.lock, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            return int(file.read() or 0) or None
        return None


def _start(at: Place) -> None:
    """Returns when the process holds its lock: from then on it is `_holder` or dead."""
    with open(at.log, "w") as log:
        subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )


def main() -> None:
    at = place()
    lock = open(at.lock, "a+")  # noqa: SIM115 (held until the process ends)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    # The id is written before the starter goes on, by a child that is nobody's child to wait for.
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(ready, 1)
        os._exit(0)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    os.close(tell)
    _serve(at, lock)


def _serve(at: Place, lock: IO[str]) -> None:
    """Serves until idle or told to end; `lock` is held by being open."""
    import asyncio

    status = 1
    try:
        asyncio.run(_serve_socket(at))
        status = 0
    except Exception:
        traceback.print_exc()
    # No orderly teardown: nothing outlives this process, and a chat at work would hold it up.
    sys.stderr.flush()
    os._exit(status)


async def _serve_socket(at: Place) -> None:
    import asyncio

    import uvicorn

    from .server import ModelApp

    def leave(*signal_and_frame: object) -> None:
        at.socket.unlink(missing_ok=True)  # first, so that nobody comes in while it ends
        server.should_exit = True

    def take_signals() -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, leave)

    async def stop_when_idle() -> None:
        take_signals()  # after uvicorn has taken them
        while app.idle_seconds() < limit:  # noqa: ASYNC110 (time passing is the event)
            await asyncio.sleep(min(limit, 1.0) / 4)
        leave()

    limit = float(os.environ.get("TIDEMILL_MODEL_IDLE") or IDLE_SECONDS)
    app = ModelApp(at.socket.with_suffix(".llama.sock"), on_chat_loaded=take_signals)
    server = uvicorn.Server(uvicorn.Config(app, **_UVICORN))
    watch = asyncio.create_task(stop_when_idle())
    await server.serve(sockets=[_listen(at.socket)])
    watch.cancel()


def _listen(path: Path) -> socket.socket:
    """The socket appears under its name only when it already listens, and takes a dead one's place."""
    unnamed = path.with_suffix(".new.sock")
    unnamed.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(unnamed))
    unnamed.chmod(0o600)
    listener.listen(128)
    unnamed.rename(path)
    return listener


if __name__ == "__main__":
    main()
