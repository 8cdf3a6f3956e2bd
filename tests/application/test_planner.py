"""What the planner decides: connections, topics, policies, resources, placeholders."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tidemill.application import plan_directory
from tidemill.application.plan import Plan, TopicPlan, write_plan
from tidemill.application.planner import study
from tidemill.errors import ApplicationError
from tidemill.functions.unit import DiskSpec, ErrorsSpec, ScaleSpec, UnitSpec

TOPICS = "topics: [{name: in, creation-mode: create-if-not-exists}, {name: out, partitions: 3}]\n"


@pytest.fixture
def plan(write):
    def _plan(pipeline: str, **options: Any) -> Plan:
        return plan_directory(write({"pipeline.yaml": TOPICS + pipeline}), **options)

    return _plan


def units(plan: Plan) -> list[UnitSpec]:
    return [unit.spec for unit in plan.units]


def topics(plan: Plan) -> dict[str, TopicPlan]:
    return {topic.name: topic for topic in plan.topics}


def test_an_agent_without_input_continues_the_one_before(plan) -> None:
    (unit,) = units(plan("pipeline: [{type: identity, input: in}, {type: identity, id: b, output: out}]"))
    assert ([agent.id for agent in unit.agents], unit.input, unit.output) == (
        ["pipeline-identity-1", "b"],
        "in",
        "out",
    )


def test_an_agent_without_input_reads_the_output_of_the_one_before(plan) -> None:
    found = plan("pipeline: [{type: identity, input: in, output: out}, {type: identity, id: b}]")
    assert [(unit.input, unit.output) for unit in units(found)] == [("in", "out"), ("out", None)]
    assert [topic.name for topic in found.topics] == ["in", "out"]


def test_a_difference_in_errors_makes_a_real_topic(plan) -> None:
    found = plan(
        "pipeline: [{type: identity, input: in}, {type: identity, id: b, output: out, errors: {retries: 2}}]"
    )
    assert [unit.output for unit in units(found)] == ["agent-b-input", "out"]
    made = topics(found)["agent-b-input"]
    assert (made.implicit, made.partitions, made.creation_mode) == (True, 12, "create-if-not-exists")
    assert "errors" in found.units[1].why


def test_the_plan_breaks_behind_a_source_unless_it_says_composable(plan) -> None:
    source = "{type: python-source, id: s, configuration: {className: a.B%s}}"
    rest = ", {type: identity, id: b, output: out}]"
    apart = plan(f"pipeline: [{source % ''}{rest}")
    assert [(unit.kind, unit.output) for unit in units(apart)] == [
        ("source", "agent-b-input"),
        ("processor", "out"),
    ]
    together = plan(f"pipeline: [{source % ', composable: true'}{rest}")
    assert [len(unit.agents) for unit in units(together)] == [2]


def test_a_sink_joins_and_a_service_stands_alone(plan) -> None:
    found = plan(
        "pipeline:\n"
        "  - {type: identity, input: in}\n"
        "  - {type: python-sink, id: sink, configuration: {className: a.B}}\n"
        "  - {type: python-service, id: service, configuration: {className: a.B}}\n"
        "  - {type: python-service, id: another, configuration: {className: a.B}}\n"
    )
    assert [(unit.kind, [agent.id for agent in unit.agents]) for unit in units(found)] == [
        ("processor", ["pipeline-identity-1", "sink"]),
        ("service", ["service"]),
        ("service", ["another"]),
    ]
    assert [trigger.topic for trigger in found.triggers] == ["in"]


def test_the_older_name_of_a_type_becomes_its_name(plan) -> None:
    (unit,) = units(plan("pipeline: [{type: python-function, input: in, configuration: {className: a.B}}]"))
    assert (unit.id, unit.agents[0].type) == ("pipeline-python-function-1", "python-processor")


def test_dead_letters_have_the_partitions_of_their_input(plan) -> None:
    found = plan(
        "errors: {on-failure: dead-letter, retries: 2}\n"
        "pipeline: [{type: identity, input: in, output: out}, {type: identity, id: b}]"
    )
    assert [unit.dead_letter for unit in units(found)] == ["in-deadletter", "out-deadletter"]
    dead = topics(found)["out-deadletter"]
    assert (dead.partitions, dead.dead_letter_of, dead.creation_mode) == (3, "out", "create-if-not-exists")
    trigger = found.triggers[0]
    assert (trigger.on_failure, trigger.retries, trigger.dead_letter) == ("dead-letter", 2, "in-deadletter")


def test_no_dead_letters_of_a_topic_that_is_not_there(plan) -> None:
    found = plan("errors: {on-failure: dead-letter}\npipeline: [{type: identity}, {type: identity, id: b}]")
    assert [topic.name for topic in found.topics] == ["in", "out"]


def test_a_declared_dead_letter_topic_is_used_as_it_is(write) -> None:
    found = plan_directory(
        write(
            {
                "pipeline.yaml": (
                    "topics: [{name: q}, {name: q-deadletter, partitions: 1}]\n"
                    "errors: {on-failure: dead-letter}\n"
                    "pipeline: [{type: identity, input: q}, {type: identity, input: q-deadletter, id: mend,"
                    " errors: {on-failure: skip}}]"
                ).replace("[{type: identity, input: q}", "[{type: identity, input: q, output: q-deadletter}")
            }
        )
    )
    assert topics(found)["q-deadletter"].partitions == 1
    assert topics(found)["q-deadletter"].dead_letter_of == "q"


@pytest.mark.parametrize(("stated", "partitions"), [("", 12), (", partitions: 1", 1), (", partitions: 0", 1)])
def test_partitions(write, stated: str, partitions: int) -> None:
    found = plan_directory(write({"pipeline.yaml": f"topics: [{{name: t{stated}}}]"}))
    assert found.topics[0].partitions == partitions


@pytest.mark.parametrize(
    ("stated", "form"),
    [
        ("", "plain"),
        (", creation-mode: create-if-not-exists", "cloudevents"),
        (", options: {tidemill.format: cloudevents}", "cloudevents"),
        (", creation-mode: create-if-not-exists, options: {tidemill.format: plain}", "plain"),
    ],
)
def test_format_of_a_topic(write, stated: str, form: str) -> None:
    found = plan_directory(write({"pipeline.yaml": f"topics: [{{name: t{stated}}}]"}))
    assert found.topics[0].format == form


def test_errors_and_resources_are_inherited_field_by_field(plan) -> None:
    (unit,) = units(
        plan(
            "errors: {on-failure: skip, retries: 5}\n"
            "resources: {size: 2, disk: {type: fast, size: 1G}, scale: {max: 4, window: 2m}}\n"
            "pipeline:\n"
            "  - type: identity\n"
            "    input: in\n"
            "    errors: {retries: 1}\n"
            "    resources:\n"
            "      {parallelism: 3, disk: {enabled: true}, scale: {min: 1, metric: rps, target: 20}}\n"
        )
    )
    assert unit.errors == ErrorsSpec(on_failure="skip", retries=1)
    assert (unit.resources.size, unit.resources.parallelism) == (2, 3)
    assert unit.resources.disk == DiskSpec(type="fast", size=1024**3)
    assert unit.resources.scale == ScaleSpec(min=1, max=4, metric="rps", target=20.0, window=120)
    assert unit.agents[0].disk


def test_disks_do_not_separate_and_add_up(plan) -> None:
    (unit,) = units(
        plan(
            "pipeline:\n"
            "  - {type: identity, input: in, resources: {disk: {enabled: true, size: 1k}}}\n"
            "  - {type: identity, id: b, resources: {disk: {enabled: true, size: ' 2 M'}}}\n"
            "  - {type: identity, id: c}\n"
        )
    )
    assert unit.resources.disk == DiskSpec(size=1024 + 2 * 1024**2)
    assert [agent.disk for agent in unit.agents] == [True, True, False]


def test_globals_are_resolved_and_secrets_stay(write) -> None:
    folder = write(
        {
            "configuration.yaml": "configuration: {defaults: {globals: {suffix: a, n: 1, topic: in}}}",
            "pipeline.yaml": (
                "topics: [{name: '${globals.topic}'}]\n"
                "pipeline:\n"
                "  - type: python-processor\n"
                "    input: ${globals.topic}\n"
                "    configuration:\n"
                "      className: a.B\n"
                "      n: ${globals.n}\n"
                "      key: ${ secrets.open-ai.key }\n"
                "      old: '{{ secrets.open-ai.key }}'\n"
                "      template: '{{ value.x }}'\n"
                "      later: ${globals.unknown}\n"
                "      bootstrap: ${cluster.configuration.admin}\n"
            ),
            "../instance.yaml": (
                "instance:\n"
                "  streamingCluster: {type: kafka, configuration: {admin:\n"
                "    {servers: '${globals.suffix}:1'}}}\n"
                "  globals: {suffix: b, unknown: [1]}\n"
            ),
            "../secrets.yaml": "secrets: [{id: open-ai, data: {key: planted-value}}]",
        }
    )
    (unit,) = units(plan_directory(folder))
    key = "${secrets.open-ai.key}"
    expected = {"className": "a.B", "n": 1, "key": key, "old": key, "template": "{{ value.x }}"}
    assert unit.agents[0].configuration == {
        **expected,
        "later": "${globals.unknown}",
        "bootstrap": "${cluster.configuration.admin}",
    }
    assert (unit.input, unit.globals) == ("in", {"suffix": "a", "n": 1, "topic": "in"})
    full = plan_directory(
        folder, instance=folder / "../instance.yaml", secrets=folder / "../secrets.yaml", strict=True
    )
    (unit,) = units(full)
    assert unit.agents[0].configuration == {
        **expected,
        "later": [1],
        "bootstrap": {"servers": "${globals.suffix}:1"},
    }
    assert unit.globals == {"suffix": "b", "n": 1, "topic": "in", "unknown": [1]}
    assert (full.cluster.type, full.cluster.configuration) == ("kafka", {"admin": {"servers": "b:1"}})
    assert b"planted-value" not in write_plan(full)


def test_a_missing_last_step_is_null_and_a_note(write) -> None:
    folder = write(
        {
            "pipeline.yaml": (
                "pipeline:\n"
                "  - {type: python-processor, configuration: {className: a.B, x: '${globals.sufix}'}}\n"
            ),
            "../instance.yaml": "instance: {globals: {suffix: b}}",
        }
    )
    found = study(folder, instance=folder / "../instance.yaml")
    assert found.plan.units[0].spec.agents[0].configuration["x"] is None
    (note,) = found.problems.notes
    assert note.hint == "did you mean 'suffix'?"


def test_symbolic_values_pass_typed_fields_and_strict_refuses_them(plan) -> None:
    pipeline = (
        "pipeline:\n"
        "  - {type: drop-fields, input: in, configuration:\n"
        "      {fields: '${globals.fields}', part: '${secrets.a.b}'}}"
    )
    assert units(plan(pipeline))[0].agents[0].configuration["fields"] == "${globals.fields}"
    with pytest.raises(ApplicationError) as caught:
        plan(pipeline, strict=True)
    assert [problem.hint for problem in caught.value.problems] == ["name it with -i", "name it with -s"]


def test_symbolic_topics_connect_by_their_text(write) -> None:
    found = plan_directory(
        write(
            {
                "pipeline.yaml": (
                    "topics: [{name: '${ globals.t }'}]\n"
                    "errors: {on-failure: dead-letter}\n"
                    "pipeline: [{type: identity, input: '${globals.t}'}]"
                ),
                "gateways.yaml": "gateways: [{id: g, type: produce, topic: '${globals.t}'}]",
            }
        )
    )
    assert [topic.name for topic in found.topics] == ["${globals.t}", "${globals.t}-deadletter"]


def test_modules_have_their_own_topics_and_gateways_see_all(write) -> None:
    found = plan_directory(
        write(
            {
                "a.yaml": "module: one\ntopics: [{name: x}]\npipeline: [{type: identity, input: x}]",
                "b.yaml": "module: two\ntopics: [{name: y}]\npipeline: [{type: identity, input: y}]",
                "gateways.yaml": (
                    "gateways: [{id: g, type: produce, topic: x}, {id: g, type: consume, topic: y}]"
                ),
            }
        )
    )
    assert [unit.id for unit in units(found)] == ["one-a-identity-1", "two-b-identity-1"]
    assert [(gateway.type, gateway.topic) for gateway in found.gateways] == [
        ("consume", "y"),
        ("produce", "x"),
    ]


def test_user_code_gets_all_resources_and_globals_and_others_none(write) -> None:
    found = plan_directory(
        write(
            {
                "configuration.yaml": (
                    "configuration:\n"
                    "  resources:\n"
                    "    - {type: open-ai-configuration, name: ai,"
                    " configuration: {access-key: '${secrets.a.b}'}}\n"
                    "    - {type: vector-database, id: db, configuration: {service: sqlite}}\n"
                    "  defaults: {globals: {x: 1}}\n"
                ),
                "pipeline.yaml": (
                    "pipeline:\n"
                    "  - {type: identity, resources: {size: 2}}\n"
                    "  - {type: python-processor, configuration: {className: a.B}}\n"
                ),
            }
        )
    )
    plain, code = units(found)
    assert (plain.services, plain.globals) == ({}, {})
    assert (sorted(code.services), code.globals) == (["ai", "db"], {"x": 1})
    assert code.services["ai"].configuration == {"access-key": "${secrets.a.b}"}


def test_assets_keep_their_order_and_carry_their_datasource(write) -> None:
    found = plan_directory(
        write(
            {
                "configuration.yaml": (
                    "configuration:\n"
                    "  resources:\n"
                    "    - {type: datasource, name: db, configuration: {service: jdbc, driverClass: d,"
                    " url: 'jdbc:x', extra: 1}}\n"
                ),
                "pipeline.yaml": (
                    "assets:\n"
                    "  - {name: z, asset-type: jdbc-table, creation-mode: create-if-not-exists, config:"
                    " {datasource: db, table-name: '${globals.t}', create-statements: [one]}}\n"
                    "  - {name: a, asset-type: jdbc-table, deletion-mode: delete, config: {datasource: db,"
                    " table-name: a, create-statements: [one], delete-statements: [two]}}\n"
                ),
            }
        )
    )
    assert [asset.id for asset in found.assets] == ["z", "a"]
    first = found.assets[0]
    assert (first.datasource, first.creation_mode) == ("db", "create-if-not-exists")
    assert first.config["datasource"]["configuration"]["extra"] == 1


RESOURCES = [
    ("open-ai-configuration", {"access-key": "", "provider": "azure", "url": "u"}),
    ("hugging-face-configuration", {"provider": "local", "inference-url": "u"}),
    ("vertex-configuration", {"url": "u", "region": "r", "project": "p", "serviceAccountJson": "{}"}),
    ("bedrock-configuration", {"access-key": "a", "secret-key": "b", "endpoint-override": "u"}),
    ("ollama-configuration", {"url": "u"}),
    ("datasource", {"service": "astra", "clientId": "a", "secret": "b", "token": "c", "database-id": "d"}),
    ("vector-database", {"service": "astra-vector-db", "endpoint": "e", "token": "t"}),
    ("datasource", {"service": "cassandra", "contact-points": "c", "loadBalancing-localDc": "d"}),
    ("datasource", {"service": "jdbc", "driverClass": "d", "url": "u", "user": "x", "password": "y"}),
    ("datasource", {"service": "opensearch", "host": "h", "index-name": "i", "port": "9201"}),
    (
        "datasource",
        {"service": "pinecone", "api-key": "a", "environment": "e", "project-name": "p", "index-name": "i"},
    ),
    ("datasource", {"service": "milvus", "username": "u", "write-mode": "upsert", "host": "h"}),
    ("vector-database", {"service": "solr", "protocol": "https"}),
    ("datasource", {"service": "sqlite", "path": "x.db"}),
    ("vector-database", {"service": "${globals.service}", "anything": 1}),
]


@pytest.mark.parametrize(("kind", "configuration"), RESOURCES)
def test_every_kind_of_resource_plans(write, kind: str, configuration: dict[str, Any]) -> None:
    resource = {"type": kind, "id": "r", "configuration": configuration}
    asset = {"id": "a", "asset-type": "opensearch-index", "config": {"datasource": "r"}}
    found = plan_directory(
        write(
            {
                "configuration.yaml": json.dumps({"configuration": {"resources": [resource]}}),
                "pipeline.yaml": json.dumps({"assets": [asset]}),
            }
        )
    )
    assert found.assets[0].config["datasource"]["configuration"] == configuration


STATEMENTS = {"create-statements": ["x"]}
ASSETS = [
    ("cassandra-table", {"table-name": "t", "keyspace": "k", **STATEMENTS}),
    ("cassandra-keyspace", {"keyspace": "k", **STATEMENTS}),
    ("astra-collection", {"collection-name": "c", "vector-dimension": "1536"}),
    ("jdbc-table", {"table-name": "t", **STATEMENTS}),
    ("milvus-collection", {"collection-name": "c", "database-name": "d", **STATEMENTS}),
    ("solr-collection", {"create-statements": [{"api": "/schema", "method": "POST", "body": "{}"}]}),
    ("opensearch-index", {"mappings": "{}", "settings": "{}"}),
]


@pytest.mark.parametrize(("kind", "config"), ASSETS)
def test_every_kind_of_asset_plans(write, kind: str, config: dict[str, Any]) -> None:
    resource = {"type": "datasource", "id": "r", "configuration": {"service": "sqlite"}}
    asset = {"id": "a", "asset-type": kind, "config": {"datasource": "r", **config}}
    found = plan_directory(
        write(
            {
                "configuration.yaml": json.dumps({"configuration": {"resources": [resource]}}),
                "pipeline.yaml": json.dumps({"assets": [asset]}),
            }
        )
    )
    assert found.assets[0].type == kind


@pytest.mark.parametrize("cluster", ["kafka", "pulsar", "pravega", "noop"])
def test_every_cluster_is_planned(write, cluster: str) -> None:
    folder = write(
        {
            "pipeline.yaml": "topics: []",
            "../instance.yaml": (
                f"instance: {{streamingCluster: {{type: {cluster}}}, computeCluster: {{type: none}}}}"
            ),
        }
    )
    assert plan_directory(folder, instance=folder / "../instance.yaml").cluster.type == cluster


def test_the_plan_is_the_same_in_whichever_files_things_stand(tmp_path) -> None:
    declared = ["topics: [{name: a}]", "topics: [{name: b, partitions: 2}]", "topics: [{name: c}]"]
    flows = [
        "id: one\npipeline: [{type: identity, input: a, output: b}]",
        "id: two\npipeline: [{type: cast, input: b, output: c, configuration: {schema-type: string}}]",
    ]
    plans = set()
    for number, order in enumerate(itertools.permutations([*declared, *flows])):
        folder = tmp_path / str(number)
        folder.mkdir()
        for position, text in enumerate(order):
            (folder / f"{position}.yaml").write_text(
                text if text.startswith("id") else f"id: t{position}\n{text}"
            )
        plans.add(write_plan(plan_directory(folder, name="same")))
    assert len(plans) == 1
