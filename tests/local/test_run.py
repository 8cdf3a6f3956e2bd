"""`tidemill run` as its users meet it: failures, reload, sleep and waking, refusals, the end."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running import Run, publish, read_topic

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.errors import BrokerUnavailable
from tidemill.local.platform import Platform, _short_folder
from tidemill.local.run import RunOptions, prepare

PIPELINE = """
module: default
topics:
  - {name: words, creation-mode: create-if-not-exists, partitions: 2}
  - {name: out, creation-mode: create-if-not-exists, partitions: 2}
  - {name: skipping, creation-mode: create-if-not-exists, partitions: 1}
  - {name: holding, creation-mode: create-if-not-exists, partitions: 1}
pipeline:
  - id: dead
    type: python-processor
    input: words
    output: out
    errors: {on-failure: dead-letter, retries: 1}
    resources: {scale: {window: 6}}
    configuration: {className: shout.Shout, suffix: "!"}
"""
SKIP = """
pipeline:
  - id: skip
    type: python-processor
    input: skipping
    output: out
    errors: {on-failure: skip, retries: 1}
    configuration: {className: shout.Shout, suffix: "!"}
"""
HOLD = """
pipeline:
  - id: hold
    type: python-processor
    input: holding
    output: out
    configuration: {className: shout.Shout, suffix: "!"}
"""
SHOUT = """
class Shout:
    def init(self, config):
        self.suffix = config["suffix"]

    def process(self, record):
        if record.value().startswith("bad"):
            raise ValueError("not welcome: " + record.value())
        return [(record.value() + self.suffix, record.key(), record.headers())]
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:  # short enough for its socket
        yield from running(Path(folder) / "shop", tmp_path / "log")


def running(application: Path, log: Path) -> Iterator[Run]:
    (application / "python").mkdir(parents=True)
    (application / "pipeline.yaml").write_text(PIPELINE)
    (application / "skip.yaml").write_text(SKIP)
    (application / "hold.yaml").write_text(HOLD)
    (application / "python" / "shout.py").write_text(SHOUT)
    found = Run(application, log)
    yield found
    if found.alive:
        found.kill_all()


def values(run: Run, topic: str) -> list[str]:
    return [str(record.value) for record in read_topic(run, topic)]


def wait_for_values(run: Run, topic: str, wanted: set[str]) -> None:
    run.wait_for(lambda: wanted <= set(values(run, topic)), f"{wanted} in {topic}")


def trigger_of(run: Run, unit: str) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(run.info()["units"][unit]["triggers"].values()))
    return found


def health(run: Run) -> int:
    try:
        url = run.report()["gateway"]["url"] + "/management/health"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_what_fails_goes_where_its_policy_says(run: Run) -> None:
    run.start()
    assert health(run) == 200
    for topic in ("words", "skipping", "holding"):
        publish(run, topic, "bad " + topic, key="a", headers=(("session", "s1"),))
        publish(run, topic, "good " + topic, key="b")
        publish(run, topic, "late " + topic, key="a")
    passed = {"good words!", "late words!", "good skipping!", "late skipping!", "good holding!"}
    wait_for_values(run, "out", passed)
    (dead,) = read_topic(run, "words-deadletter")
    headers = dict(dead.headers)
    assert (dead.value, dead.key, headers["session"]) == ("bad words", "a", "s1")
    assert "not welcome: bad words" in headers["error-msg"]
    assert headers["langstream-error-message"] == headers["error-msg"]
    assert headers["source-topic"] == "words"
    assert "late holding!" not in values(run, "out")
    ((key, *_),) = trigger_of(run, "hold")["stuck"]
    assert key == "a"
    assert trigger_of(run, "hold")["lag"] == 2
    assert trigger_of(run, "dead")["lag"] == trigger_of(run, "skip")["lag"] == 0
    assert run.stop() == 0
    assert run.group() == []


def test_a_held_record_is_tried_again_and_freed_by_mended_code(run: Run) -> None:
    """Save, and what was stuck goes on; nothing that came meanwhile is lost."""
    run.start(watch=True)
    publish(run, "holding", "bad one", key="a")
    publish(run, "holding", "two", key="a")
    run.wait_for(lambda: trigger_of(run, "hold")["stuck"], "a stuck lane")
    source = run.application / "python" / "shout.py"
    source.write_text(SHOUT.replace('startswith("bad")', 'startswith("worse")'))
    wait_for_values(run, "out", {"bad one!", "two!"})
    assert run.stop() == 0


def test_a_changed_configuration_is_applied_and_a_broken_one_is_not(run: Run) -> None:
    run.start(watch=True)
    publish(run, "words", "one")
    wait_for_values(run, "out", {"one!"})
    pipeline = run.application / "pipeline.yaml"
    pipeline.write_text(PIPELINE.replace("python-processor", "pyton-processor"))
    run.wait_for(lambda: "pyton-processor" in run.tail(), "the error of the change")
    publish(run, "words", "two")
    wait_for_values(run, "out", {"two!"})
    pipeline.write_text(PIPELINE.replace('suffix: "!"', 'suffix: "?"'))
    run.wait_for(lambda: "reloaded" in run.tail(), "the reload")
    publish(run, "words", "three")
    wait_for_values(run, "out", {"three?"})
    assert run.stop() == 0


def test_changed_gateways_are_served_without_a_new_start(run: Run) -> None:
    run.start(watch=True)

    def served() -> list[str]:
        with urllib.request.urlopen(run.report()["gateway"]["url"] + "/management/gateways") as answer:
            return [gateway["id"] for gateway in json.load(answer)["gateways"]]

    before = served()
    (run.application / "gateways.yaml").write_text("gateways: [{id: fresh, type: consume, topic: out}]")
    run.wait_for(lambda: served() == ["fresh"] != before, "the new gateway")
    assert run.stop() == 0


def test_a_unit_goes_to_sleep_and_wakes(run: Run) -> None:
    run.start()
    assert run.workers() == []
    publish(run, "words", "one")
    wait_for_values(run, "out", {"one!"})
    (worker,) = run.workers()
    run.wait_for(lambda: run.workers() == [], "the unit's sleep", 30)
    run.wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the end of its process", 5)
    publish(run, "words", "two")
    wait_for_values(run, "out", {"two!"})
    assert run.stop() == 0


def test_children_end_within_a_second_of_the_main_process(run: Run) -> None:
    run.start()
    publish(run, "words", "one")
    wait_for_values(run, "out", {"one!"})
    assert len(run.group()) >= 3
    run.kill()
    deadline = time.monotonic() + 1.0
    while run.group():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_workers_end_with_their_parent_and_new_ones_follow(run: Run) -> None:
    run.start()
    publish(run, "words", "one")
    wait_for_values(run, "out", {"one!"})
    (worker,) = run.workers()
    run.kill(run.info()["parent"])
    run.wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the worker's end", 5)
    publish(run, "words", "two")
    wait_for_values(run, "out", {"two!"})
    assert run.stop() == 0


@pytest.mark.parametrize("kind", ["pulsar", "pravega"])
def test_a_foreign_broker_is_refused_by_name(run: Run, tmp_path: Path, kind: str) -> None:
    instance = tmp_path / "instance.yaml"
    instance.write_text(f"instance: {{streamingCluster: {{type: {kind}}}}}")
    result = tidemill("run", str(run.application), "-i", str(instance))
    assert result.returncode == 1
    assert f"type '{kind}'" in result.stderr
    assert "--embedded" in result.stderr


def test_a_kafka_without_address_is_said(run: Run, tmp_path: Path) -> None:
    instance = tmp_path / "instance.yaml"
    instance.write_text("instance: {streamingCluster: {type: kafka}}")
    result = tidemill("run", str(run.application), "-i", str(instance))
    assert result.returncode == 1
    assert "bootstrap.servers" in result.stderr


def test_a_port_in_use_is_said_with_what_to_do(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = tidemill("run", str(run.application), "--gateway-port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "in use" in result.stderr
    assert "--gateway-port" in result.stderr


def test_secrets_reach_the_agent_and_no_file_of_the_plan(run: Run, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("secrets: [{id: shop, data: {suffix: hush-hush}}]")
    pipeline = run.application / "pipeline.yaml"
    pipeline.write_text(PIPELINE.replace('suffix: "!"', 'suffix: "${secrets.shop.suffix}"'))
    run.start(arguments=["-s", str(secrets)])
    publish(run, "words", "one")
    wait_for_values(run, "out", {"onehush-hush"})
    state = run.application / ".tidemill"
    modes = {name: (state / name).stat().st_mode & 0o777 for name in (".", "secrets", "workers.sock")}
    assert modes == {".": 0o700, "secrets": 0o700, "workers.sock": 0o600}
    assert run.stop() == 0
    assert not any("hush-hush" in file.read_text() for file in (state / "units").rglob("*.json"))
    assert not (state / "secrets").exists()


def test_a_change_that_cannot_be_applied_stops_no_later_one(run: Run, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("secrets: [{id: shop, data: {suffix: one}}]")
    pipeline = run.application / "pipeline.yaml"
    pipeline.write_text(PIPELINE.replace('suffix: "!"', 'suffix: "${secrets.shop.suffix}"'))
    run.start(arguments=["-s", str(secrets)], watch=True)
    secrets.write_text("secrets: [{id: shop, data: {suffix: two, a/b: no-file-name}}]")
    run.wait_for(lambda: "could not be applied" in run.tail(), "the refusal")
    publish(run, "words", "a")
    wait_for_values(run, "out", {"aone"})
    secrets.write_text("secrets: [{id: shop, data: {suffix: three}}]")
    run.wait_for(lambda: "reloaded" in run.tail(), "the reload")
    publish(run, "words", "b")
    wait_for_values(run, "out", {"bthree"})
    assert "no-file-name" not in run.tail()
    assert run.stop() == 0


def test_a_long_path_leaves_at_most_one_folder_of_sockets(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30)
    folders = [_short_folder(state) for _ in range(2)]
    try:
        assert folders[0] == folders[1] != state
        assert folders[0].stat().st_mode & 0o777 == 0o700
    finally:
        folders[0].rmdir()


def test_units_are_scaled_on_after_maintenance_failed(run: Run, tmp_path: Path) -> None:
    class Full(EmbeddedBroker):
        calls, again = 0, asyncio.Event()

        async def maintain(self) -> bool:
            self.calls += 1
            if self.calls == 1:
                raise BrokerUnavailable("the disk is full")
            self.again.set()
            return False

    async def scenario() -> None:
        manifests = prepare(RunOptions(run.application)).manifests
        broker = Full(tmp_path / "state")
        platform = Platform(
            manifests, broker, state=tmp_path / "state", code=run.application, secrets={}, gateway_port=0
        )
        try:
            await platform.start()
            async with asyncio.timeout(20):
                await broker.again.wait()
        finally:
            await platform.drain()
            await broker.close()

    asyncio.run(scenario())


def tidemill(*arguments: str) -> Any:
    command = [sys.executable, "-m", "tidemill.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_ingress_refuses_what_it_cannot_take(run: Run) -> None:
    run.start()
    base = run.report()["ingress"]["url"]
    assert post(base + "/default/words", b"{}")[0] == 400
    assert post(base + "/default/word", b"{}")[0] == 404
    assert "words" in post(base + "/default/word", b"{}")[1]
    big = json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "x" * 1_100_000})
    assert post(base + "/default/words", big.encode())[0] == 413
    request = urllib.request.Request(base + "/default/words", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 405
    caught.value.close()
    assert values(run, "words") == []
    assert run.stop() == 0


def post(url: str, body: bytes) -> tuple[int, str]:
    headers = {"content-type": "application/cloudevents+json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_disk_that_fills_and_empties_again_loses_nothing(run: Run) -> None:
    """The files may grow to a limit; what is accepted beyond it is nothing, and afterwards all goes on."""
    run.start()
    publish(run, "words", "before")
    wait_for_values(run, "out", {"before!"})
    assert run.process is not None
    limit = 3 * 1024 * 1024
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    accepted = publish_until_refused(run)
    assert accepted
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, unlimited)
    run.wait_for(
        lambda: {value[:3] for value in values(run, "out")} >= set(accepted), "all that was accepted"
    )
    assert run.stop() == 0


def publish_until_refused(run: Run) -> list[str]:
    """The numbers of the records that were accepted before one got 503."""
    accepted = []
    for number in range(200):
        try:
            publish(run, "words", f"{number:03d}" + "x" * 50_000)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:
                    return accepted
                raise
        accepted.append(f"{number:03d}")
    raise AssertionError("no record was refused")
