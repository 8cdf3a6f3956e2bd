"""The topics of an application: those it declares, and those the plan adds.

Used by the planner. A topic may be declared in any file of its module; a second declaration must say
the same. Physically there is one topic per name, so modules may share a name only in agreement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ..errors import Position
from ..functions.placeholders import is_symbolic
from .model import Application, Schema, Topic
from .plan import DEFAULT_PARTITIONS, SchemaSpec, TopicPlan
from .problems import Problems, did_you_mean, listed
from .resolving import Resolver

DEAD_LETTER_SUFFIX = "-deadletter"
_KAFKA_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Topics:
    """Topics by name, and which module declares which."""

    def __init__(self, application: Application, resolver: Resolver, problems: Problems) -> None:
        self._problems = problems
        self._complete = not (application.unread - {"configuration.yaml", "gateways.yaml", "archetype.yaml"})
        self._any_name = application.instance is not None and application.instance.cluster in (
            "pulsar",
            "pravega",
        )
        self._by_name: dict[str, TopicPlan] = {}
        self._places: dict[str, tuple[str, Position]] = {}
        self._modules: dict[str, set[str]] = {}
        for pipeline in application.pipelines:
            for topic in pipeline.topics:
                self._declare(topic, resolver.text(topic.name), pipeline.module)

    def _declare(self, topic: Topic, name: str, module: str) -> None:
        self._check_name(name, topic.name.at)
        planned = _declared(topic, name)
        known = self._by_name.setdefault(name, planned)
        first_module, first = self._places.setdefault(name, (module, topic.name.at))
        self._modules.setdefault(module, set()).add(name)
        if known != planned:
            what = f"Topic {name} already exists in module {first_module}"
            why = f"it is declared differently at {first}"
            self._problems.add(what, topic.name.at, why=why)

    def _check_name(self, name: str, at: Position) -> None:
        if not (is_symbolic(name) or self._any_name or _KAFKA_NAME.fullmatch(name)):
            why = "letters, digits, '.', '_' and '-', at most 249 of them"
            self._problems.add(f"'{name}' cannot be the name of a topic", at, why=why)

    def check_declared(self, name: str, module: str, at: Position) -> None:
        """A problem unless the module declares the topic, or may do so once placeholders are known."""
        known = self._modules.get(module, set())
        if name in known or is_symbolic(name) or any(map(is_symbolic, known)) or not self._complete:
            return
        others = sorted(other for other, names in self._modules.items() if name in names)
        why = f"module {listed(others)} declares it, and topics are not shared" if others else None
        what = (
            f"Topic {name} is not defined in module {module}, only [{', '.join(sorted(known))}] are defined"
        )
        self._problems.add(what, at, why=why, hint=did_you_mean(name, known) or _declare_hint(others))

    def check_exists(self, name: str, at: Position) -> None:
        """A problem unless any module has the topic."""
        if name in self._by_name or is_symbolic(name) or not self._complete:
            return
        if not any(map(is_symbolic, self._by_name)):
            why = f"there are {listed(sorted(self._by_name))}"
            what = f"Topic {name} is not defined in any module"
            self._problems.add(what, at, why=why, hint=did_you_mean(name, self._by_name))

    def add_implicit(self, name: str, at: Position) -> None:
        """The topic between two units."""
        if name in self._by_name:
            why = "the plan gives this name to the topic in front of an agent without 'input'"
            self._problems.add(f"Topic {name} is declared, but the name is taken", at, why=why)
        self._by_name[name] = TopicPlan(name=name, creation_mode="create-if-not-exists", implicit=True)

    def add_dead_letter(self, topic: str) -> str:
        """The name of the topic for what fails in `topic`, which is made unless it is declared."""
        name = topic + DEAD_LETTER_SUFFIX
        if name in self._by_name:
            declared = self._by_name[name]
            self._by_name[name] = msgspec.structs.replace(declared, dead_letter_of=topic)
        elif topic in self._by_name:
            self._by_name[name] = _dead_letter(self._by_name[topic], name)
        else:  # only a name that is not known yet
            self._by_name[name] = TopicPlan(
                name=name, creation_mode="create-if-not-exists", dead_letter_of=topic
            )
        return name

    def planned(self) -> tuple[TopicPlan, ...]:
        return tuple(self._by_name[name] for name in sorted(self._by_name))

    @property
    def names(self) -> Mapping[str, TopicPlan]:
        return self._by_name


def _declare_hint(others: list[str]) -> str | None:
    return None if others else "declare it under 'topics'"


def _declared(topic: Topic, name: str) -> TopicPlan:
    stated = topic.options.get("tidemill.format")
    # What nobody here creates, somebody else writes: without a CloudEvent around it.
    usual = "plain" if topic.creation_mode == "none" else "cloudevents"
    return TopicPlan(
        name=name,
        partitions=DEFAULT_PARTITIONS if topic.partitions is None else max(topic.partitions, 1),
        creation_mode=topic.creation_mode,
        deletion_mode=topic.deletion_mode,
        value_schema=_schema(topic.value_schema),
        key_schema=_schema(topic.key_schema),
        options=dict(topic.options),
        config=dict(topic.config),
        format="plain" if (stated or usual) == "plain" else "cloudevents",
    )


def _dead_letter(source: TopicPlan, name: str) -> TopicPlan:
    return TopicPlan(
        name=name,
        partitions=source.partitions,
        creation_mode="create-if-not-exists",
        deletion_mode=source.deletion_mode,
        implicit=source.implicit,
        dead_letter_of=source.name,
        value_schema=source.value_schema,
        key_schema=source.key_schema,
    )


def _schema(schema: Schema | None) -> SchemaSpec | None:
    return SchemaSpec(type=schema.type, schema=schema.schema, name=schema.name) if schema else None
