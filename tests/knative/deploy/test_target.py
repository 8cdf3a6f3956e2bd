"""`tidemill app deploy --target` and `--dry-run=client`: files and words, without any cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api_server import ApiServer

from tidemill.cli.main import main
from tidemill.knative.cluster import connect
from tidemill.knative.files import as_yaml
from tidemill.knative.secrets import render_secrets
from tidemill.knative.validate import validate

SECRET = "planted-hunter2"
PIPELINE = """
topics:
  - {name: questions, creation-mode: create-if-not-exists}
  - {name: answers, creation-mode: create-if-not-exists, partitions: 1}
errors: {on-failure: dead-letter, retries: 2}
pipeline:
  - {type: cast, id: cast, input: questions, configuration: {schema-type: string}}
  - type: compute
    id: compute
    output: answers
    configuration: {fields: [{name: value.k, expression: "'${secrets.key.it}'"}]}
    errors: {on-failure: skip}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A configuration that would fail whoever reads it: these commands ask no cluster.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "secrets.yaml").write_text(f"secrets: [{{id: key, data: {{it: {SECRET}}}}}]")
    return folder


def load(out: Path) -> list[Any]:
    return [yaml.safe_load(file.read_text()) for file in sorted(out.iterdir())]


def test_files_in_apply_order_hold_the_whole_application(shop: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert main(["app", "deploy", "shop", "-a", str(shop), "-n", "team", "--target", str(out)]) == 0
    found = load(out)
    kinds = [item["kind"] for item in found]
    assert validate(found) == ()
    assert kinds.index("Job") < kinds.index("Broker") < kinds.index("Service") < kinds.index("Trigger")
    assert {item["metadata"]["namespace"] for item in found} == {"team"}
    config = next(item for item in found if item["kind"] == "Broker")["spec"]["config"]
    assert (config["name"], config["namespace"]) == ("kafka-broker-config", "knative-eventing")
    for file, item in zip(sorted(out.iterdir()), found, strict=True):
        order, kind, name = file.name.removesuffix(".yaml").split("-", 2)
        assert (kind, name) == (item["kind"].lower(), item["metadata"]["name"])
        assert order.isdigit()
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(file) for file in sorted(out.iterdir())]
    assert "Secret shop-key" in told.err
    assert "knative-eventing/kafka-broker-config" in told.err


def test_no_value_of_a_secret_is_written_or_shown(shop: Path, tmp_path: Path, capsys: Any) -> None:
    given = ["app", "deploy", "shop", "-a", str(shop), "-s", str(tmp_path / "secrets.yaml")]
    assert main([*given, "--target", str(tmp_path / "out")]) == 0
    assert main([*given, "--dry-run", "client", "-o", "yaml"]) == 0
    told = capsys.readouterr()
    files = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert SECRET not in files + told.out + told.err
    assert "Secret shop-key" in told.err


def test_files_are_equal_whenever_they_are_written_and_leftovers_go(shop: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    command = ["app", "deploy", "shop", "-a", str(shop), "--target"]
    assert main([*command, str(out)]) == 0
    (out / "01-configmap-mine.yaml").write_text("kind: ConfigMap\n")
    (out / "README.md").write_text("notes")
    (shop / "pipeline.yaml").write_text(PIPELINE.replace("'${secrets", "'x${secrets"))
    assert main([*command, str(out)]) == 0
    assert main([*command, str(again)]) == 0
    foreign = {"01-configmap-mine.yaml", "README.md"}
    assert {file.name for file in out.iterdir()} - foreign == {file.name for file in again.iterdir()}
    assert foreign < {file.name for file in out.iterdir()}
    for file in again.iterdir():
        assert file.read_text() == (out / file.name).read_text()


@pytest.mark.parametrize("form", ["json", "yaml", "name", "text"])
def test_a_dry_run_of_the_client_shows_every_object(shop: Path, form: str, capsys: Any) -> None:
    assert main(["apps", "update", "shop", "-app", str(shop), "--dry-run", "client", "-o", form]) == 0
    out = capsys.readouterr().out
    if form == "json":
        found = json.loads(out)["items"]
    elif form == "yaml":
        found = list(yaml.safe_load_all(out))
    else:
        lines = out.splitlines()
        assert sum(line.startswith("trigger.eventing.knative.dev/shop-") for line in lines) == 2
        assert all(line.endswith(" (dry run)") == (form == "text") for line in lines)
        return
    assert validate(found) == ()


def test_the_instance_of_pulsar_and_open_placeholders_are_refused(
    shop: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "pulsar.yaml").write_text("instance: {streamingCluster: {type: pulsar}}")
    command = ["app", "deploy", "shop", "-a", str(shop), "--target", str(tmp_path / "out")]
    assert main([*command, "-i", str(tmp_path / "pulsar.yaml")]) == 2
    assert "pulsar" in capsys.readouterr().err
    (shop / "pipeline.yaml").write_text(PIPELINE.replace("${secrets.key.it}", "${globals.it}"))
    assert main(command) == 2
    assert "${globals.it}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_kafkas_address_may_stand_in_a_secret(shop: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "instance.yaml").write_text(
        "instance: {streamingCluster: {type: kafka, configuration: "
        '{admin: {bootstrap.servers: "${secrets.kafka.at}"}}}}'
    )
    (tmp_path / "kafka.yaml").write_text(
        "secrets: [{id: kafka, data: {at: 'k0:9092, k1:9092'}}, {id: key, data: {it: x}}]"
    )
    command = ["app", "deploy", "shop", "-a", str(shop), "-i", str(tmp_path / "instance.yaml")]
    assert main([*command, "--target", str(tmp_path / "out")]) == 2
    assert "bootstrap" not in capsys.readouterr().out
    assert main([*command, "--target", str(tmp_path / "out"), "-s", str(tmp_path / "kafka.yaml")]) == 0
    maps = {item["metadata"]["name"]: item for item in load(tmp_path / "out") if item["kind"] == "ConfigMap"}
    assert maps["shop-kafka"]["data"]["bootstrap.servers"] == "k0:9092,k1:9092"


def test_kubectl_applies_the_files_and_deploy_takes_over(
    shop: Path, tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here: install kubectl and put it on the PATH")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    server.token = None  # kubectl sends none without TLS
    assert main(["app", "deploy", "shop", "-a", str(shop), "--target", str(tmp_path / "out")]) == 0
    for secret in render_secrets("shop", {"key": {"it": SECRET}}, "default"):
        server.seed(secret)
    command = [kubectl, "apply", "--server-side", "--validate=false", "-f", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    capsys.readouterr()
    assert main(["app", "deploy", "shop", "-a", str(shop)]) == 0
    assert capsys.readouterr().out == "No changes\n"
    trigger = connect(None, None).list("Trigger", "")[0]
    assert {"kubectl", "tidemill"} <= {each["manager"] for each in trigger["metadata"]["managedFields"]}
    (shop / "pipeline.yaml").write_text(PIPELINE.replace("retries: 2", "retries: 3"))
    assert main(["app", "diff", "shop", "-a", str(shop)]) == 5  # kubectl's value is not overwritten
    assert "belongs to kubectl" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["a\nb", "a \nb\n", "\ttab\nx", "no", "1", "", "é\n\n x", "a: b\n# c", "\u2028\n"]
)
def test_texts_of_many_lines_come_back(text: str) -> None:
    assert yaml.safe_load(as_yaml({"k": text})) == {"k": text}
