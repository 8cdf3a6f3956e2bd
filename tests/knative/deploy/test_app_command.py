"""`tidemill app` as a person runs it, against the stand-in: words, streams, forms, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api_server import ApiServer

from tidemill.cli.main import main

SECRET = "planted-hunter2"
PIPELINE = """
topics:
  - {name: questions, creation-mode: create-if-not-exists, deletion-mode: delete}
  - {name: answers, creation-mode: create-if-not-exists}
pipeline:
  - type: compute
    id: one
    input: questions
    output: answers
    configuration: {fields: [{name: value.k, expression: "'PROMPT ${secrets.key.it}'"}]}
"""


class Shop:
    def __init__(self, tmp_path: Path, capsys: Any) -> None:
        self.folder, self.capsys = tmp_path / "shop", capsys
        self.secrets = tmp_path / "secrets.yaml"
        self.folder.mkdir()
        self.write("PROMPT")
        self.secrets.write_text(f"secrets: [{{id: key, data: {{it: {SECRET}}}}}]")

    def write(self, prompt: str) -> None:
        (self.folder / "pipeline.yaml").write_text(PIPELINE.replace("PROMPT", prompt))

    def run(self, *words: str, status: int = 0) -> tuple[str, str]:
        found = main(["app", *words])
        told = self.capsys.readouterr()
        assert found == status, told.err
        assert SECRET not in told.out + told.err
        return told.out, told.err

    def deploy(self, *words: str, status: int = 0) -> tuple[str, str]:
        files = ["-a", str(self.folder), "-s", str(self.secrets)]
        return self.run("deploy", "shop", *files, "--image", "example.com/shop:1", *words, status=status)


@pytest.fixture
def shop(tmp_path: Path, capsys: Any, server: ApiServer) -> Shop:
    return Shop(tmp_path, capsys)


def test_deploy_diff_deploy_rollback(shop: Shop, server: ApiServer) -> None:
    out, err = shop.deploy("--yes")
    assert "service.serving.knative.dev/shop-one-" in out
    assert "context test, namespace default" in err
    assert "rollback" not in err  # there is nothing to go back to
    secret = server.get("Secret", "shop-key")
    assert secret is not None
    assert secret["metadata"]["labels"]["tidemill.dev/application"] == "shop"
    assert shop.deploy()[0] == "No changes\n"

    shop.write("another")
    files = ["shop", "-a", str(shop.folder), "-s", str(shop.secrets)]
    out, _ = shop.run("diff", *files)  # the image is the one that runs
    prompts = [line for line in out.splitlines() if "PROMPT" in line or "another" in line]
    assert [line.split()[0] for line in prompts] == ["-", "+"]
    assert out.splitlines()[-1] == "0 to create, 2 to change, 0 to remove"
    shop.run("diff", *files, "--exit-code", status=5)
    _, err = shop.deploy("--yes")
    undo = next(line for line in err.splitlines() if "undo:" in line)

    command = undo.partition("undo: tidemill app ")[2].split()
    _, err = shop.run(*command, "--yes", "--reason", "worse answers")
    assert "back to release 1" in err
    service = next(item for item in server.all("Service"))
    config = service["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert "PROMPT" in (server.get("ConfigMap", config) or {})["data"]["unit.json"]
    out, _ = shop.run("history", "shop", "-o", "json")
    assert [each["reason"] for each in json.loads(out)] == [
        "rollback to 1: worse answers",
        "deploy",
        "deploy",
    ]
    shop.write("PROMPT")
    shop.run("diff", *files, "--exit-code")


def test_without_a_terminal_nothing_is_done_unasked(shop: Shop, server: ApiServer) -> None:
    before = len(server.log)
    _, err = shop.deploy(status=2)
    assert "--yes" in err
    assert len(server.log) == before
    shop.deploy("--yes")
    before = len(server.log)
    _, err = shop.run("delete", "shop", status=2)
    assert "--yes" in err
    assert len(server.log) == before


def test_a_dry_run_of_the_server_shows_and_changes_nothing(shop: Shop, server: ApiServer) -> None:
    before = len(server.log)
    out, _ = shop.deploy("--dry-run", "server")
    assert "+ Trigger/shop-one-questions-" in out
    out, _ = shop.deploy("--dry-run", "server", "-o", "json")
    assert {each["action"] for each in json.loads(out)} == {"create"}
    assert len(server.log) == before


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "gateways.yaml",
            "gateways: [{id: ask, type: produce, topic: questions}]",
            "tidemill.functions.gateway",
        ),
        (
            "assets.yaml",
            "assets: [{id: t, asset-type: opensearch-index, creation-mode: create-if-not-exists, "
            "config: {datasource: db}}]\n",
            "makes no assets: t",
        ),
    ],
)
def test_what_could_not_work_there_is_refused_and_shown(
    shop: Shop, server: ApiServer, file: str, text: str, said: str
) -> None:
    (shop.folder / file).write_text(text)
    if file == "assets.yaml":
        (shop.folder / "configuration.yaml").write_text(
            "configuration: {resources: [{type: vector-database, id: db, configuration: "
            "{service: opensearch, host: h, index-name: i}}]}"
        )
    before = len(server.log)
    _, err = shop.deploy("--yes", status=1)
    assert said in err
    assert len(server.log) == before
    _, err = shop.deploy("--dry-run", "client")
    assert said in err


def test_what_is_there_is_listed_and_described(shop: Shop, server: ApiServer) -> None:
    shop.deploy("--yes")
    out, _ = shop.run("list")
    assert out.splitlines()[1].split()[:3] == ["shop", "1/1", "1"]
    assert shop.run("list", "-o", "name")[0] == "shop\n"
    out, _ = shop.run("describe", "shop")
    assert "http://shop-one-" in out
    assert "example.com/shop:1" in out
    unit = json.loads(shop.run("get", "shop", "-o", "json")[0])["units"][0]
    assert (unit["name"], unit["ready"], unit["copies"]) == ("one", True, None)
    assert unit["revision"].endswith("-00001")
    assert yaml.safe_load(shop.run("describe", "shop", "-o", "yaml")[0])["application"] == "shop"
    assert "Trigger/shop-one-questions-" in shop.run("status", "shop")[0]
    server.set_status(server.all("Trigger")[0], {})
    out, _ = shop.run("status", "shop", status=1)
    assert "not seen by its controller yet" in out
    _, err = shop.run("describe", "shp", status=3)
    assert "did you mean 'shop'?" in err


def test_logs_are_those_of_the_units_that_are_awake(shop: Shop, server: ApiServer) -> None:
    shop.deploy("--yes")
    assert shop.run("logs", "shop")[0] == ""
    labels = {"tidemill.dev/application": "shop"}
    for name, more in (("a", {"tidemill.dev/unit": "one"}), ("setup", {})):
        meta = {"name": name, "namespace": "default", "labels": {**labels, **more}}
        server.seed({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}})
    server.pod_logs = {"a": "first\nsecond\n", "setup": "made\n"}
    assert shop.run("logs", "shop")[0].splitlines() == ["-  made", "one  first", "one  second"]
    out, _ = shop.run("logs", "shop", "--agent", "one", "--since", "10m", "-o", "json")
    assert [json.loads(line)["line"] for line in out.splitlines()] == ["first", "second"]
    shop.run("logs", "shop", "--agent", "two", status=3)
    shop.run("logs", "shop", "--since", "soon", status=2)


def test_delete_says_what_stays_and_takes_the_rest(shop: Shop, server: ApiServer) -> None:
    shop.deploy("--yes")
    out, err = shop.run("delete", "shop", "--yes")
    assert "deletion-mode 'delete': questions, questions-deadletter" in err
    assert out == "application shop removed\n"
    left = {each.kind.kind for each in server.entries if each.kind.kind not in ("Namespace", "Revision")}
    assert left == set()
    shop.run("delete", "shop", "--yes", status=3)


def test_a_release_becomes_files(shop: Shop, tmp_path: Path) -> None:
    shop.deploy("--yes")
    shop.run("download", "shop", "--target", str(tmp_path / "kept"))
    shop.run(
        "deploy", "shop", "-a", str(shop.folder), "--image", "example.com/shop:1",
        "--target", str(tmp_path / "new"),
    )  # fmt: skip
    assert {file.name: file.read_text() for file in (tmp_path / "kept").iterdir()} == {
        file.name: file.read_text() for file in (tmp_path / "new").iterdir()
    }
    _, err = shop.run("rollback", "shop", "--yes", status=3)
    assert "release of shop" in err


def test_a_refusal_of_the_cluster_has_its_own_status(shop: Shop, server: ApiServer, tmp_path: Path) -> None:
    _, err = shop.deploy("--yes", "-n", "nowhere", status=3)
    assert 'namespaces "nowhere" not found' in err
    shop.run("list", "--context", "else", status=3)
    (tmp_path / "kubeconfig").write_text(server.kubeconfig().replace("right", "wrong"))
    shop.run("list", status=4)
