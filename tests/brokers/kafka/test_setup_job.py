"""The setup Job's program on a real Kafka: topics are made, groups begin at the earliest event."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from support.kafka_server import Server

from tidemill.functions import setup


@pytest.fixture
def files(tmp_path: Path, kafka: Server) -> Any:
    def make(**content: Any) -> dict[str, str]:
        whole = {"version": 1, "topics": [], "assets": [], "groups": {}, **content}
        (tmp_path / "setup.json").write_text(json.dumps(whole))
        return {"TIDEMILL_SETUP": str(tmp_path / "setup.json"), "TIDEMILL_KAFKA": kafka.bootstrap}

    return make


def committed(kafka: Server, group: str) -> dict[int, int]:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        found = admin.list_group_offsets([group])[group]
    finally:
        admin.close()
    return {place.partition: offset.offset for place, offset in found.items()}


def test_a_group_begins_at_the_earliest_event_and_keeps_what_it_has(kafka: Server, files: Any) -> None:
    from kafka import KafkaConsumer, KafkaProducer

    topic, group = f"t-{uuid.uuid4()}", f"g-{uuid.uuid4()}"
    made = {"name": topic, "partitions": 2, "creation_mode": "create-if-not-exists"}
    assert setup.main(files(topics=[made])) == 0
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for number in range(4):
        producer.send(topic, b"%d" % number, partition=number % 2)
    producer.close()
    assert setup.main(files(topics=[made], groups={group: topic})) == 0
    assert committed(kafka, group) == {0: 0, 1: 0}
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap,
        group_id=group,
        auto_offset_reset="latest",  # as a Trigger would begin
        consumer_timeout_ms=20_000,
    )
    seen = [next(consumer).value for _ in range(4)]
    consumer.commit()
    consumer.close()
    assert sorted(seen) == [b"0", b"1", b"2", b"3"]
    before = committed(kafka, group)
    assert before == {0: 2, 1: 2}
    assert setup.main(files(topics=[made], groups={group: topic})) == 0
    assert committed(kafka, group) == before


def test_a_topic_of_others_must_be_there(kafka: Server, files: Any) -> None:
    assert setup.main(files(topics=[{"name": f"t-{uuid.uuid4()}", "partitions": 1}])) == 3


def test_assets_are_refused_rather_than_left_out(files: Any) -> None:
    asset = {"id": "a", "type": "jdbc-table", "creation_mode": "create-if-not-exists"}
    assert setup.main(files(assets=[asset])) == 1
