"""`tidemill app`: applications on a Knative cluster.

The verbs are kubectl's and kn's, the options LangStream's. What is done is in `knative/`; here are words.
stdout holds the result, stderr everything else. Nothing is changed without a confirmation or --yes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ..knative import files
from ..knative.objects import Object
from ..knative.prepare import Prepared, Request, missing_programs, prepare
from .problems import problem_words

app = App(name="app", help="Deploy applications to Knative, look at them, change them, undo.")

Output = Annotated[Literal["text", "json", "yaml", "name"], Parameter(["--output", "-o"])]
Folder = Annotated[Path, Parameter(["--application", "-a", "-app"], help="the application's folder")]
Instance = Annotated[Path | None, Parameter(["--instance", "-i"], help="instance.yaml")]
Secrets = Annotated[Path | None, Parameter(["--secrets", "-s"], help="secrets.yaml")]
Namespace = Annotated[str | None, Parameter(["--namespace", "-n"], help="the context's, else 'default'")]
Context = Annotated[str | None, Parameter("--context", help="of the kubeconfig; else the current one")]


@app.command(name=["deploy", "update"])
def deploy(
    name: str,
    /,
    *,
    application: Folder = Path("."),
    instance: Instance = None,
    secrets: Secrets = None,
    namespace: Namespace = None,
    image: Annotated[str | None, Parameter(help="the image that all containers run")] = None,
    target: Annotated[Path | None, Parameter(help="only write files into this folder")] = None,
    dry_run: Annotated[Literal["client"] | None, Parameter(help="show, and change nothing")] = None,
    output: Output = "text",
) -> None:
    """Bring an application to a cluster, or change one that is there."""
    request = Request(application, name, instance, secrets, namespace or "default", image)
    prepared = prepare(request)
    for note in prepared.notes:
        _tell(problem_words(note, "note"))
    if target is not None:
        _write(prepared, target)
    elif dry_run == "client":
        _caveats(prepared, secrets_written=False)
        show(prepared.objects, output, " (dry run)")


def _write(prepared: Prepared, target: Path) -> None:
    for path in files.write(prepared.objects, prepared.application, target):
        print(path)
    _caveats(prepared, secrets_written=False)


def _caveats(prepared: Prepared, *, secrets_written: bool) -> None:
    """What the objects rely on that is not among them."""
    external = set(prepared.external)
    if not secrets_written:
        external |= {item["metadata"]["name"] for item in prepared.secrets}
    if external:
        listed = ", ".join(sorted(external))
        _tell(f"note: expected in namespace {prepared.namespace}, not written: Secret {listed}")
    elsewhere = {
        f"{config['namespace']}/{config['name']}"
        for item in prepared.objects
        if item["kind"] == "Broker" and (config := item["spec"]["config"])["namespace"] != prepared.namespace
    }
    if elsewhere:
        _tell(f"note: Kafka is the one that the cluster's ConfigMap {', '.join(elsewhere)} names")
    if missing := missing_programs(prepared.objects):
        _tell(f"note: this version of Tidemill does not have what containers run: {', '.join(missing)}")


def show(found: tuple[Object, ...], output: str, suffix: str = "") -> None:
    """Objects as the user wants them."""
    if output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=2))
    elif output == "yaml":
        print("---\n".join(map(files.as_yaml, found)), end="")
    else:
        for item in found:
            print(identity(item) + (suffix if output == "text" else ""))


def identity(found: Object) -> str:
    """As kubectl's `-o name`."""
    group = found["apiVersion"].rpartition("/")[0]
    kind = found["kind"].lower()
    group = ".".join([kind, group.partition("/")[0]]) if group else kind
    return f"{group}/{found['metadata']['name']}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
