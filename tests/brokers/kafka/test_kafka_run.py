"""`tidemill run` with a Kafka instance: real processes on a real Kafka, killed and started again."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.kafka_server import Server
from support.running import Run, producing

PIPELINE = """
topics:
  - {name: MARK-words, creation-mode: create-if-not-exists, partitions: 4}
  - {name: MARK-middle, creation-mode: create-if-not-exists, partitions: 4}
  - {name: MARK-loud, creation-mode: create-if-not-exists, partitions: 4}
pipeline:
  - id: number
    type: compute
    input: MARK-words
    output: MARK-middle
    configuration: {fields: [{name: value.seen, expression: "value.n + 1"}]}
  - id: shout
    type: python-processor
    input: MARK-middle
    output: MARK-loud
    configuration: {className: shout.Shout}
"""
SHOUT = """
import json

class Shout:
    def process(self, record):
        value = json.loads(record.value())
        return [(json.dumps({**value, "loud": True}), record.key(), record.headers())]
"""
GATEWAYS = """
gateways:
  - {id: say, type: produce, topic: MARK-words}
  - {id: hear, type: consume, topic: MARK-loud}
"""
JSON = {"content-type": "application/json"}
KEYS, COUNT = 8, 60


class World:
    """Runs of one application on one Kafka, and what lies on its topics."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.mark = f"t{uuid.uuid4().hex[:8]}"
        self.instance = folder / "instance.yaml"
        admin = {"bootstrap.servers": server.bootstrap}
        cluster = {"type": "kafka", "configuration": {"admin": admin}}
        self.instance.write_text(json.dumps({"instance": {"streamingCluster": cluster}}))
        self.runs: list[Run] = []

    def run(self, name: str = "one") -> Run:
        application = self.folder / name / self.mark
        (application / "python").mkdir(parents=True)
        (application / "pipeline.yaml").write_text(PIPELINE.replace("MARK", self.mark))
        (application / "gateways.yaml").write_text(GATEWAYS.replace("MARK", self.mark))
        (application / "python" / "shout.py").write_text(SHOUT)
        self.runs.append(Run(application, self.folder / f"{name}.log"))
        return self.runs[-1]

    def start(self, run: Run, variables: dict[str, str] | None = None) -> None:
        traced = {"PYTHONFAULTHANDLER": "1", **(variables or {})}
        run.start(traced, arguments=("-i", str(self.instance)))

    def values(self, topic: str) -> dict[str, list[int]]:
        """The numbers of each key in their order, as a bare client reads them."""
        found: dict[str, list[int]] = {}
        for record in self.records(topic):
            found.setdefault(record.key.decode(), []).append(json.loads(record.value)["n"])
        return found

    def records(self, topic: str) -> Iterator[Any]:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            bootstrap_servers=self.server.bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        try:
            places = [TopicPartition(f"{self.mark}-{topic}", number) for number in range(4)]
            consumer.assign(places)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(places)
            while any(consumer.position(place) < ends[place] for place in places):
                for batch in consumer.poll(timeout_ms=200).values():
                    yield from batch
        finally:
            consumer.close()

    def settle(self, *runs: Run) -> None:
        """Everything delivered, and the runs ended in an orderly way."""
        total = sum(map(len, self.values("words").values()))
        deadline = time.monotonic() + 90
        while sum(map(len, self.values("loud").values())) < total:
            assert time.monotonic() < deadline, self._stalled(runs)
            time.sleep(0.2)  # each look is a client of its own
        for run in runs:
            assert run.stop() == 0, run.tail()
            assert run.group() == []

    def _stalled(self, runs: Sequence[Run]) -> str:
        """Everything that tells why records do not come; the runs say where their threads are."""
        counts = {name: sum(map(len, self.values(name).values())) for name in ("words", "middle", "loud")}
        told = [json.dumps(run.info()["units"]) for run in runs]
        for run in runs:
            assert run.process is not None
            run.process.send_signal(signal.SIGABRT)
            run.process.wait(10)
        return "\n".join([str(counts), *told, *(run.log.read_text()[-12000:] for run in runs)])

    def assert_whole(self) -> None:
        """Nothing lost, nothing twice, and the order of each key kept."""
        words = self.values("words")
        assert {key: sorted(set(numbers)) for key, numbers in words.items()} == {
            f"k{key}": list(range(COUNT)) for key in range(KEYS)
        }
        assert self.values("middle") == words
        assert self.values("loud") == words


@pytest.fixture
def world(kafka: Server, tmp_path: Path) -> Iterator[World]:
    made = World(kafka, tmp_path)
    yield made
    for run in made.runs:
        if run.alive:
            run.kill_all()


def owned(run: Run) -> list[int]:
    """How many partitions of each trigger are this run's."""
    units = run.info()["units"].values()
    return [len(trigger["partitions"]) for unit in units for trigger in unit["triggers"].values()]


def test_a_run_on_kafka(world: World) -> None:
    """A plain record that a bare client wrote, and one by the gateway, come out; the form is Knative's."""
    from kafka import KafkaProducer

    run = world.run()
    world.start(run)
    producer = KafkaProducer(bootstrap_servers=world.server.bootstrap)
    producer.send(f"{world.mark}-words", b'{"n": 1}', key=b"plain").get(10)
    producer.close()
    report = run.report()
    url = f"{report['gateway']['url']}/api/gateways/produce/default/{world.mark}/say"
    body = json.dumps({"key": "gate", "value": {"n": 2}}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, JSON)) as answer:
        assert answer.status == 200
    world.settle(run)
    assert world.values("loud") == {"plain": [1], "gate": [2]}
    for record in world.records("loud"):
        headers = dict(record.headers)
        assert json.loads(record.value)["loud"] is True
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_partitionkey"] == record.key
        assert {"ce_id", "ce_source", "ce_type", "content-type"} <= set(headers)


@pytest.mark.parametrize("point", ["broker.before-write", "broker.before-sync", "broker.after-sync"])
def test_killed_in_the_middle(world: World, point: str) -> None:
    run = world.run()
    world.start(run, {"TIDEMILL_FAULT": f"{point}:10"})
    with producing(run, f"{world.mark}-words", KEYS, COUNT):
        run.wait_for(lambda: not run.alive, "the fault")
        world.start(run)
    world.settle(run)
    world.assert_whole()


def test_two_runs_share_the_work_and_one_dies(world: World) -> None:
    one, two = world.run("one"), world.run("two")
    world.start(one)
    world.start(two)
    one.wait_for(lambda: owned(one) == owned(two) == [2, 2], "an even share")
    with producing(one, f"{world.mark}-words", KEYS, COUNT) as producers:
        one.wait_for(lambda: all(producer.accepted > COUNT // 3 for producer in producers), "some records")
        two.kill()
    one.wait_for(lambda: owned(one) == [4, 4], "all partitions", 60)
    world.settle(one)
    world.assert_whole()


def hear(run: Run, application: str, position: str, count: int) -> list[tuple[str, int, str]]:
    """(key, number, offset token) of the first records that the gateway pushes."""
    from websockets.sync.client import connect

    base = run.report()["gateway"]["url"].replace("http", "ws", 1)
    found = []
    with connect(f"{base}/v1/consume/default/{application}/hear?option:position={position}") as socket:
        while len(found) < count:
            pushed = json.loads(socket.recv(timeout=20))
            record = pushed["record"]
            found.append((record["key"], json.loads(record["value"])["n"], pushed["offset"]))
    return found


def test_gateways_resume_by_token_on_another_run(world: World) -> None:
    """Catch-up from the start, and on from a token at another run's gateway: nothing lost or doubled."""
    one, two = world.run("one"), world.run("two")
    world.start(one)
    world.start(two)
    with producing(one, f"{world.mark}-words", KEYS, COUNT):
        first = hear(one, world.mark, "earliest", 50)
    rest = hear(two, world.mark, first[-1][2], KEYS * COUNT - 50)
    heard: dict[str, list[int]] = {}
    for key, number, _ in first + rest:
        heard.setdefault(key, []).append(number)
    assert heard == {f"k{key}": list(range(COUNT)) for key in range(KEYS)}
    world.settle(one, two)


def test_the_broker_is_killed_and_comes_back(world: World) -> None:
    if not world.server.owned:
        pytest.fail("a Kafka that is not ours cannot be killed: run this without KAFKA_BOOTSTRAP")
    run = world.run()
    world.start(run)
    with producing(run, f"{world.mark}-words", KEYS, COUNT) as producers:
        run.wait_for(lambda: all(producer.accepted > COUNT // 3 for producer in producers), "some records")
        world.server.kill()
        world.server.start()
    world.settle(run)
    world.assert_whole()


SASL = "org.apache.kafka.common.security"
LOGINS = {
    "PLAIN": f'{SASL}.plain.PlainLoginModule required username="alice" password="wonderland";',
    "SCRAM-SHA-256": f'{SASL}.scram.ScramLoginModule required username="bob" password="${{secrets.k.p}}";',
}


@pytest.mark.parametrize("mechanism", LOGINS)
def test_a_login_by_the_instance_and_its_secrets(world: World, mechanism: str) -> None:
    if world.server.secured is None:
        pytest.fail(f"{world.server.kind} has no address that asks for a login")
    secrets = world.folder / "secrets.yaml"
    secrets.write_text("secrets: [{id: k, data: {p: builder}}]")
    admin = {
        "bootstrap.servers": world.server.secured,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": LOGINS[mechanism],
    }
    cluster = {"type": "kafka", "configuration": {"admin": admin}}
    world.instance.write_text(json.dumps({"instance": {"streamingCluster": cluster}}))
    run = world.run()
    run.start(arguments=("-i", str(world.instance), "-s", str(secrets)))
    with producing(run, f"{world.mark}-words", 2, 5):
        pass
    world.settle(run)
    assert world.values("loud") == {"k0": list(range(5)), "k1": list(range(5))}


def test_a_topic_that_must_exist_is_asked_for_by_name(world: World) -> None:
    run = world.run()
    pipeline = run.application / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("create-if-not-exists", "none", 1))
    world.start(run)
    assert run.process is not None
    assert run.process.wait(30) == 3
    assert f"topic '{world.mark}-words' does not exist" in run.tail()
