"""What /proc says of processes: CPU time and memory of a tree, members of a group. Linux only.

CPU per event is what the rows compare: on a busy machine a server's requests per second vary by half,
its CPU per request by a tenth.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def _fields(pid: int) -> list[str] | None:
    """/proc/PID/stat behind the name: state, parent, group, …; None for what is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields


def _all() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _fields(int(name))) is not None:
            yield int(name), fields


def group(leader: int) -> list[int]:
    """Living processes of a process group."""
    return [pid for pid, fields in _all() if int(fields[2]) == leader]


def cpu_seconds(leader: int) -> float:
    """User and system time of a process group, with its children that have ended."""
    ticks = 0
    for _, fields in _all():
        if int(fields[2]) == leader:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def memory_mib(pid: int, *names: str) -> float:
    """Sum of entries of smaps_rollup, such as Pss, Private_Clean, Private_Dirty."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            total += int(rest.split()[0])
    return total / 1024


def pin(leader: int, core: int) -> None:
    """Every thread of a group on one core; threads and children to come inherit it."""
    for pid in group(leader):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), {core})


@contextlib.contextmanager
def started(
    command: Sequence[str | Path],
    variables: Mapping[str, str] | None = None,
    *,
    core: int | None = None,
    output: Path | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; the whole group is killed in the end."""
    log = output.open("ab") if output else subprocess.DEVNULL
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, **(variables or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(log, int):
            log.close()
