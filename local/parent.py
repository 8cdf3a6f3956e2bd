"""The parent of all workers: a small process that does nothing but fork.

Started by `local/processes.py` as the first thing of a run, before any event loop or thread, with one
end of a socket pair. It has imported what the application's agents import, rehearsed a worker's life
and frozen the heap, so a fork costs milliseconds and shares its memory. It holds one invariant: when it
forks it has one thread, no event loop and no open database, so its children start clean. When the other
end of the socket closes, the run is over and it kills its children and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
CAN_FORK = sys.platform == "linux"  # elsewhere system libraries do not survive a fork


def main(descriptor: int) -> None:
    """Serve orders until the run ends."""
    orders = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the run decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    children: set[int] = set()
    buffer = b""
    while True:
        ready, _, _ = select.select([orders.fileno(), wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _reap(orders, children)
        if orders.fileno() in ready:
            data = _receive(orders)
            if not data:
                break
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                _obey(json.loads(line), orders, children, (orders, wake_read, wake_write))
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _receive(orders: socket.socket) -> bytes:
    try:
        return orders.recv(65536)
    except ConnectionError:
        return b""


def _obey(order: dict[str, Any], orders: socket.socket, children: set[int], own: tuple[Any, ...]) -> None:
    if order["do"] == "preload":
        _preload(order["modules"])
        signal.set_wakeup_fd(own[2], warn_on_full_buffer=False)  # the rehearsal's event loop took it
        _say(orders, {"ready": os.getpid()})
    elif order["do"] == "import":
        _import(order["modules"])
    elif order["do"] == "spawn":
        child = _start(order, own)
        children.add(child)
        _say(orders, {"spawned": order["pass"], "pid": child})
    elif order["do"] == "kill" and order["pid"] in children:
        os.kill(order["pid"], signal.SIGKILL)


def _preload(modules: list[str]) -> None:
    _import(modules)
    if CAN_FORK:
        from ..functions.rehearsal import rehearse

        rehearse()
    gc.collect()
    gc.freeze()


def _import(modules: list[str]) -> None:
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:  # the worker will say what is missing when it needs it
            logging.getLogger("tidemill.parent").debug("not preloaded: %s", error)
    gc.freeze()


def _start(order: dict[str, Any], own: tuple[Any, ...]) -> int:
    """A new worker's process id."""
    variables = {**os.environ, **order["variables"]}
    if not CAN_FORK or _threads() > 1:
        command = [sys.executable, "-m", "tidemill.functions.worker"]
        return subprocess.Popen(command, env=variables, close_fds=True).pid
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become_worker(order, parent, own)
    return child


def _become_worker(order: dict[str, Any], parent: int, own: tuple[Any, ...]) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _die_with(parent)
        for item in own:
            item.close() if hasattr(item, "close") else os.close(item)
        os.environ.update(order["variables"])
        from ..functions.environment import from_variables
        from ..functions.worker import main as work

        status = work(from_variables(), os.environ["TIDEMILL_SOCKET"], os.environ["TIDEMILL_PASS"])
    finally:
        sys.stderr.flush()
        os._exit(status)  # never return into the parent's loop


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1


def _reap(orders: socket.socket, children: set[int]) -> None:
    while children:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
        children.discard(child)
        _say(orders, {"ended": child, "status": os.waitstatus_to_exitcode(status)})


def _say(orders: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(ConnectionError):  # the run is gone: the next read says so
        orders.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    from ..functions.logs import configure

    configure()
    main(int(sys.argv[1]))
