"""`tidemill plan` as a person runs it: streams, forms, exit codes, and no secret anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tidemill import __version__
from tidemill.cli.main import COMMANDS, main

SECRET = "planted-hunter2"
FILES = {
    "app/pipeline.yaml": """
topics: [{name: in, creation-mode: create-if-not-exists}]
assets:
  - {id: t, asset-type: opensearch-index, config: {datasource: db}}
pipeline:
  - type: python-processor
    input: in
    configuration: {className: a.B, key: "${secrets.ai.key}", token: planted-hunter2}
""",
    "app/configuration.yaml": """
configuration:
  resources:
    - type: vector-database
      id: db
      configuration: {service: opensearch, host: h, index-name: i, password: planted-hunter2}
""",
    "app/gateways.yaml": "gateways: [{id: g, type: produce, topic: in}]",
    "instance.yaml": """
instance:
  streamingCluster:
    type: kafka
    configuration: {admin: {sasl.jaas.config: "x password='planted-hunter2'", bootstrap.servers: "k:1"}}
""",
    "secrets.yaml": "secrets: [{id: ai, data: {key: planted-hunter2, other: planted-hunter2}}]",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def outside(project: Path) -> list[str]:
    return ["-i", str(project / "instance.yaml"), "-s", str(project / "secrets.yaml")]


@pytest.mark.parametrize("form", ["text", "json", "yaml", "mermaid"])
def test_no_form_shows_a_secret(project: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(project / "app"), "-o", form, *outside(project)]) == 0
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    assert "in" in shown.out
    assert shown.err == ""


BREAKS = [
    ("app/pipeline.yaml", "className: a.B", "clasName: a.B"),
    ("app/pipeline.yaml", "secrets.ai.key", "secrets.bi.key"),
    ("app/pipeline.yaml", "secrets.ai.key", "secrets.ai.keys"),
    ("app/pipeline.yaml", "token: planted", "token: [planted"),
    ("app/configuration.yaml", "password: planted-hunter2", "password: [planted-hunter2]"),
    ("app/configuration.yaml", "password: planted-hunter2", "password:\n        - planted-hunter2"),
    ("app/configuration.yaml", "host: h", "hots: h"),
    ("secrets.yaml", "data:", "dta:"),
    ("secrets.yaml", "{key: planted-hunter2,", "{planted-hunter2, planted-hunter2,"),
    ("secrets.yaml", "key: planted-hunter2", "key: *planted-hunter2"),
    ("secrets.yaml", "key: planted-hunter2", "key: !planted-hunter2 x"),
    ("secrets.yaml", "id: ai", "planted-hunter2: ai"),
    ("secrets.yaml", "}}]", "}"),
    ("app/configuration.yaml", "password: planted-hunter2}", "password: |\n  - planted-hunter2}"),
    ("instance.yaml", "type: kafka", "type: kafak"),
    ("instance.yaml", "{admin:", "{admin: ["),
]


@pytest.mark.parametrize("number", range(len(BREAKS)))
def test_no_error_shows_a_secret(project: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    name, right, wrong = BREAKS[number]
    text = (project / name).read_text()
    assert right in text
    (project / name).write_text(text.replace(right, wrong))
    main(["plan", str(project / "app"), "--strict", *outside(project)])
    shown = capsys.readouterr()
    assert shown.err
    assert SECRET not in shown.out + shown.err


def test_json_is_one_object_with_its_lists(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", str(project / "app"), "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    for name in ("units", "topics", "triggers", "gateways", "assets"):
        assert len(found[name]) == 1
    unit = found["units"][0]
    assert (unit["id"], unit["input"], unit["agents"][0]["configuration"]["key"]) == (
        "pipeline-python-processor-1",
        "in",
        "${secrets.ai.key}",
    )
    assert found["topics"][0]["partitions"] == 12
    main(["plan", str(project / "app"), "-o", "yaml"])
    assert yaml.safe_load(capsys.readouterr().out) == found


def test_text_says_why_and_what_is_promised(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", str(project / "app"), "--name", "shop"])
    shown = capsys.readouterr().out
    for words in (
        "application shop (tenant default)",
        "begins here: it is the first agent of the pipeline 'pipeline'",
        "in  12 partitions, create-if-not-exists",
        "in → pipeline-python-processor-1  fail: retried until it succeeds",
        "g  produce: topic in",
        "t  opensearch-index",
        "let go after about 58 days",
    ):
        assert words in shown


def test_problems_go_to_stderr_with_line_and_caret(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "app" / "pipeline.yaml"
    path.write_text("topics: [{name: in}]\npipeline:\n  - {type: identiti, input: inn}\n")
    assert main(["plan", str(project / "app")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert (
        f"{path}:3:12: error: Unknown agent type 'identiti'\n"
        "  3 |   - {type: identiti, input: inn}\n"
        "    |            ^\n"
        "  why: agent 'pipeline-identiti-1' has it\n"
        "  try: did you mean 'identity'?\n"
    ) in shown.err
    assert shown.err.rstrip().endswith("2 problems; nothing was started or changed")


def test_exit_codes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(project / "none")]) == 3
    assert main(["plan", "-o", "tabel", str(project / "app")]) == 2
    assert main(["plna"]) == 2
    assert 'Did you mean "plan"' in capsys.readouterr().err


def test_an_unexpected_error_has_a_traceback_only_with_debug(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tidemill.cli.plan.study", lambda *_, **__: 1 / 0)
    assert main(["plan", str(project / "app")]) == 1
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        main(["plan", str(project / "app"), "--debug"])


def test_every_command_can_be_imported() -> None:
    from importlib import import_module

    for path, _ in COMMANDS.values():
        module, name = path.split(":")
        assert callable(getattr(import_module(module), name))


def test_version_imports_no_command_line_library() -> None:
    code = (
        "import sys; from tidemill.cli.main import main\n"
        "main(['--version']); print('cyclopts' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [__version__, "False"]


def test_plan_imports_nothing_heavy(project: Path) -> None:
    code = (
        "import sys; from tidemill.cli.main import main\n"
        f"main(['plan', {str(project / 'app')!r}])\n"
        "heavy = {'rich.table', 'openai', 'numpy', 'boto3', 'kubernetes', 'uvicorn', 'apsw'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
