"""The program of the setup Job: `python -m tidemill.functions.setup`.

Makes an application's topics in Kafka and then commits the earliest offset for each Trigger's group that
has none: a Trigger that finds no offset begins with what comes next, and what was there is skipped. Run
again it changes nothing. What to do is in the file that TIDEMILL_SETUP names (`knative/setup.py`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..brokers.kafka.options import client_options
from ..brokers.kafka.topics import Topics
from ..brokers.protocol import TopicConfig
from ..errors import ConfigurationError, NewerVersion, NotFound, TidemillError
from .environment import Environment
from .placeholders import resolve

VERSION = 1
SECONDS = 60.0  # for Kafka to get ready for groups

log = logging.getLogger("tidemill.setup")


def main(variables: Mapping[str, str] = os.environ) -> int:
    """The exit status; Kubernetes tries again after a failure."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        set_up(*_read(variables))
    except TidemillError as error:
        log.error("%s", error.message)
        return error.status
    return 0


def _read(variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to do, and Kafka's properties with secrets filled in."""
    file = Path(variables["TIDEMILL_SETUP"])
    content: dict[str, Any] = json.loads(file.read_text())
    if content["version"] > VERSION:
        raise NewerVersion("the setup file", content["version"], VERSION)
    folder = variables.get("TIDEMILL_SECRETS")
    secrets = Environment(file, secrets=Path(folder) if folder else None).read_secrets()
    stated = content.get("cluster", {}).get("configuration", {}).get("admin", {})
    properties: dict[str, Any] = resolve(stated, {"secrets": secrets})
    return content, properties or {"bootstrap.servers": variables["TIDEMILL_KAFKA"]}


def set_up(content: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Raises NotFound for a topic that somebody else should have made, and ConfigurationError."""
    wanted = [asset["id"] for asset in content["assets"] if asset.get("creation_mode", "none") != "none"]
    if wanted:
        raise ConfigurationError(f"this version of Tidemill makes no assets: {', '.join(wanted)}")
    options = client_options(properties)
    for note in options.notes:
        log.warning("%s", note)
    topics = Topics(options.arguments)
    try:
        for topic in content["topics"]:
            _topic(topics, topic)
    finally:
        topics.close()
    _groups(options.arguments, content["groups"])


def _topic(topics: Topics, topic: Mapping[str, Any]) -> None:
    known = topics.partitions()
    name = topic["name"]
    if name in known:
        log.info("topic %s is there, with %d partitions", name, known[name])
        return
    if topic.get("creation_mode", "none") == "none" and not topic.get("implicit"):
        raise NotFound("topic", name, known)
    copies = topic.get("options", {}).get("replication-factor")
    made = TopicConfig(name, topic["partitions"], topic.get("config", {}), int(copies) if copies else None)
    topics.create(made)
    log.info("topic %s made with %d partitions", name, made.partitions)


def _groups(arguments: Mapping[str, Any], groups: Mapping[str, str]) -> None:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(**arguments)
    try:
        for group, topic in groups.items():
            _patiently(partial(_begin, admin, group, topic))
    finally:
        admin.close()


def _patiently(work: Callable[[], None]) -> None:
    """Kafka's first answer about groups is that it has to prepare for them."""
    from kafka.errors import KafkaError

    end = time.monotonic() + SECONDS
    while True:
        try:
            return work()
        except KafkaError as error:
            if not getattr(error, "retriable", False) or time.monotonic() > end:
                raise ConfigurationError(f"Kafka's groups cannot be set: {error}") from error
            time.sleep(1)


def _begin(admin: Any, group: str, topic: str) -> None:
    """The earliest offset for every partition of which the group has none."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec
    from kafka.structs import OffsetAndMetadata

    described = admin.describe_topics([topic])[0]["partitions"]
    places = [TopicPartition(topic, each["partition_index"]) for each in described]
    committed = admin.list_group_offsets({group: places}).get(group, {})
    new = [place for place in places if place not in committed or committed[place].offset < 0]
    if not new:
        log.info("group %s has its offsets", group)
        return
    first = admin.list_partition_offsets(dict.fromkeys(new, OffsetSpec.EARLIEST))
    answer = admin.alter_group_offsets(
        group, {place: OffsetAndMetadata(first[place].offset, "", -1) for place in new}
    )
    for place, error in answer.items():
        if getattr(error, "errno", 0):
            raise ConfigurationError(f"group {group} cannot begin at {place}: {error.__name__}")
    log.info("group %s begins at the earliest events of %s", group, topic)


if __name__ == "__main__":
    sys.exit(main())
