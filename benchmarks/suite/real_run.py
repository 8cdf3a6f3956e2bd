"""A real `tidemill run` of an application in a scratch folder, and a client of its gateway."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from processes import group, started

START_SECONDS = 60.0


class Application:
    """What `run.json` and /info say of it, and its processes."""

    def __init__(self, folder: Path, leader: int) -> None:
        self.folder, self.leader = folder, leader

    def info(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/info", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    @property
    def port(self) -> int:
        """Of the ingress."""
        return int(self._report()["ingress"]["url"].rpartition(":")[2])

    @property
    def gateway(self) -> str:
        return str(self._report()["gateway"]["url"])

    def _report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / ".tidemill" / "run.json").read_text())
        return found

    def workers(self, unit: str | None = None) -> list[int]:
        units = self.info()["units"]
        return [pid for name, said in units.items() if unit in (None, name) for pid in said["workers"]]

    def standing(self) -> set[int]:
        """The processes that are there when all units are at zero: main and the parent of workers."""
        return {self.leader, self.info()["parent"]}

    def strangers(self, unit: str) -> set[int]:
        """Processes of the run that could be the unit's: none while it is at zero."""
        info = self.info()
        others = {pid for name, said in info["units"].items() if name != unit for pid in said["workers"]}
        return set(group(self.leader)) - {self.leader, info["parent"]} - others

    def wait_for(self, condition: Any, what: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                log = (self.folder / "run.log").read_text()[-3000:]
                raise TimeoutError(f"{what} did not come within {seconds:g} s; log:\n{log}")
            time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, files: Mapping[str, str]) -> Iterator[Application]:
    """The application, ready."""
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    command = [sys.executable, "-m", "tidemill.cli.main", "run", folder, "--gateway-port", "0", "--no-watch"]
    with started(command, output=folder / "run.log") as process:
        application = Application(folder, process.pid)
        report = folder / ".tidemill" / "run.json"
        application.wait_for(lambda: report.exists() or process.poll() is not None, "the run's report")
        if process.poll() is not None:
            raise AssertionError((folder / "run.log").read_text()[-3000:])
        yield application
