"""`tidemill app`: applications on a Knative cluster.

The verbs are kubectl's and kn's, the options LangStream's. What is done is in `knative/`; here are words.
stdout holds the result, stderr everything else. Nothing is changed without a confirmation or --yes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ..application.loader import application_id
from ..errors import NotFound, TidemillError, UsageError
from ..knative import apply, files, releases, status, waiting
from ..knative.cluster import Cluster, connect
from ..knative.prepare import Prepared, Request, prepare, refuse_unfinished
from . import app_words as words
from .problems import problem_words
from .progress import progress

app = App(name="app", help="Deploy applications to Knative, look at them, change them, undo.")

Form = Literal["text", "json", "yaml", "name"]
Output = Annotated[Form, Parameter(["--output", "-o"], help="form of the result")]
Folder = Annotated[Path, Parameter(["--application", "-a", "-app"], help="the application's folder")]
Instance = Annotated[Path | None, Parameter(["--instance", "-i"], help="instance.yaml")]
Secrets = Annotated[Path | None, Parameter(["--secrets", "-s"], help="secrets.yaml")]
Namespace = Annotated[str | None, Parameter(["--namespace", "-n"], help="the context's, else 'default'")]
Context = Annotated[str | None, Parameter("--context", help="of the kubeconfig; else the current one")]
Image = Annotated[str | None, Parameter("--image", help="what all containers run; else the last one")]
Yes = Annotated[bool, Parameter("--yes", negative=(), help="do not ask")]
Wait = Annotated[bool, Parameter("--wait", help="until everything is ready")]
WaitTimeout = Annotated[float, Parameter("--wait-timeout", help="seconds")]


class Cancelled(TidemillError):
    """The user said no."""

    status = 130


@app.command(name=["deploy", "update"])
def deploy(
    name: str,
    /,
    *,
    application: Folder = Path("."),
    instance: Instance = None,
    secrets: Secrets = None,
    namespace: Namespace = None,
    context: Context = None,
    image: Image = None,
    target: Annotated[Path | None, Parameter("--target", help="only write files into this folder")] = None,
    dry_run: Annotated[
        Literal["client", "server"] | None, Parameter("--dry-run", help="show, and change nothing")
    ] = None,
    wait: Wait = True,
    wait_timeout: WaitTimeout = waiting.TIMEOUT,
    output: Output = "text",
    yes: Yes = False,
) -> None:
    """Bring an application to a cluster, or change one that is there."""
    if target is not None or dry_run == "client":
        prepared = _prepare(Request(application, name, instance, secrets, namespace or "default", image))
        _on_paper(prepared, target, output)
        return
    cluster = connect(context, namespace)
    prepared = _for(cluster, application, name, instance, secrets, image)
    changes = apply.compare(cluster, prepared.application, [*prepared.secrets, *prepared.objects])
    if dry_run == "server":
        words.show_changes(changes, output)
        return
    refuse_unfinished(prepared)
    _carry_out(cluster, changes, "deploy", waiting.Patience(wait_timeout) if wait else None, yes, output)


@app.command
def diff(
    name: str,
    /,
    *,
    application: Folder = Path("."),
    instance: Instance = None,
    secrets: Secrets = None,
    namespace: Namespace = None,
    context: Context = None,
    image: Image = None,
    exit_code: Annotated[
        bool, Parameter("--exit-code", negative=(), help="end with 5 where something differs")
    ] = False,
    output: Output = "text",
) -> int:
    """Show what deploying these files would change."""
    cluster = connect(context, namespace)
    prepared = _for(cluster, application, name, instance, secrets, image)
    changes = apply.compare(cluster, prepared.application, [*prepared.secrets, *prepared.objects])
    words.show_changes(changes, output)
    return 5 if exit_code and changes else 0


@app.command(name="list")
def list_applications(
    *, namespace: Namespace = None, context: Context = None, output: Output = "text"
) -> None:
    """List the applications of a namespace."""
    words.show_list(status.applications(connect(context, namespace)), output)


@app.command(name=["describe", "get"])
def describe(
    name: str, /, *, namespace: Namespace = None, context: Context = None, output: Output = "text"
) -> None:
    """Show an application: units with revisions and copies, triggers, URLs."""
    words.show_description(status.describe(connect(context, namespace), application_id(name)), output)


@app.command(name="status")
def show_status(
    name: str, /, *, namespace: Namespace = None, context: Context = None, output: Output = "text"
) -> int:
    """Say which objects are ready; ends with 1 where one is not."""
    found = status.states(connect(context, namespace), application_id(name))
    words.show_states(found, output)
    return 0 if all(each.ready for each in found) else 1


@app.command
def logs(
    name: str,
    /,
    *,
    agent: Annotated[str | None, Parameter("--agent", help="only of the unit that it runs in")] = None,
    since: Annotated[str | None, Parameter("--since", help="as 90s, 10m or 2h")] = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Annotated[Literal["text", "json"], Parameter(["--output", "-o"])] = "text",
) -> None:
    """Print what the units that are awake have written."""
    cluster = connect(context, namespace)
    for each in status.logs(cluster, application_id(name), agent, words.seconds(since) if since else None):
        words.show_log_line(each, output)


@app.command
def delete(name: str, /, *, namespace: Namespace = None, context: Context = None, yes: Yes = False) -> None:
    """Remove an application from the cluster; topics in Kafka and what they hold stay."""
    cluster = connect(context, namespace)
    found = status.describe(cluster, application_id(name))
    _tell(f"context {cluster.context}, namespace {cluster.namespace}")
    for line in words.losses(found):
        _tell(line)
    _confirm(f"Remove the application {found.application} with {len(found.states)} objects?", yes)
    with progress() as tell:
        apply.remove_all(cluster, found.application, tell)
    print(f"application {found.application} removed")


@app.command
def rollback(
    name: str,
    /,
    *,
    to: Annotated[int | None, Parameter("--to", help="the release's number; else the one before")] = None,
    reason: Annotated[str, Parameter("--reason", help="kept with the release")] = "",
    namespace: Namespace = None,
    context: Context = None,
    wait: Wait = True,
    wait_timeout: WaitTimeout = waiting.TIMEOUT,
    output: Output = "text",
    yes: Yes = False,
) -> None:
    """Bring back the state that was deployed before, of the whole application."""
    cluster, application = connect(context, namespace), application_id(name)
    chosen = _release(releases.history(cluster, application), application, to)
    _tell(f"back to release {chosen.number} of {chosen.time} ({chosen.reason})")
    why = f"rollback to {chosen.number}" + (f": {reason}" if reason else "")
    changes = apply.compare(cluster, application, chosen.objects())
    _carry_out(cluster, changes, why, waiting.Patience(wait_timeout) if wait else None, yes, output)


@app.command
def history(
    name: str, /, *, namespace: Namespace = None, context: Context = None, output: Output = "text"
) -> None:
    """List the releases that rollback can bring back, the newest first."""
    words.show_history(releases.history(connect(context, namespace), application_id(name)), output)


@app.command
def download(
    name: str,
    /,
    *,
    target: Annotated[Path, Parameter("--target", help="the folder to write into")],
    release: Annotated[int | None, Parameter("--release", help="its number; else the newest")] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Write the manifests of a release as files."""
    application = application_id(name)
    past = releases.history(connect(context, namespace), application)
    chosen = _release(past, application, release if release is not None else past[0].number if past else 0)
    for path in files.write(chosen.objects(), application, target):
        print(path)


def _release(past: Sequence[releases.Release], application: str, number: int | None) -> releases.Release:
    """The one with the number, else the one before the newest."""
    if number is None and len(past) > 1:
        return past[1]
    for release in past:
        if release.number == number:
            return release
    wanted = "earlier" if number is None else str(number)
    raise NotFound(f"release of {application}", wanted, [str(each.number) for each in past])


def _for(
    cluster: Cluster,
    folder: Path,
    name: str,
    instance: Path | None,
    secrets: Path | None,
    image: str | None,
) -> Prepared:
    """Prepared for a cluster, with the image that runs there unless another one is named."""
    runs = image or status.image(apply.owned(cluster, application_id(name)).values())
    if runs is None:
        raise UsageError(
            "no image is named, and the application is not there yet",
            hint="--image REGISTRY/NAME:TAG, an image with Tidemill and the application's folder in it",
        )
    return _prepare(Request(folder, name, instance, secrets, cluster.namespace, runs))


def _prepare(request: Request) -> Prepared:
    prepared = prepare(request)
    for note in prepared.notes:
        _tell(problem_words(note, "note"))
    return prepared


def _on_paper(prepared: Prepared, target: Path | None, output: Form) -> None:
    if target is None:
        words.show_objects(prepared.objects, output, " (dry run)")
    else:
        for path in files.write(prepared.objects, prepared.application, target):
            print(path)
    for line in words.caveats(prepared):
        _tell(line)


def _carry_out(
    cluster: Cluster,
    changes: apply.Changes,
    reason: str,
    patience: waiting.Patience | None,
    yes: bool,
    output: Form,
) -> None:
    """Show, ask, do. Without changes it still finishes what an earlier run left."""
    if changes:
        _tell(f"context {cluster.context}, namespace {cluster.namespace}")
        for line in words.change_lines(changes):
            _tell(line)
        _confirm("Do this?", yes)
    with progress() as tell:

        def news(kind: str, name: str, what: str) -> None:
            if changes or what != "ready":  # that all is still ready is none
                tell(kind, name, what)

        release = apply.execute(cluster, changes, reason, news, patience=patience)
    if not changes:
        print("No changes")
    else:
        words.show_objects(changes.wanted_openly(), output, "")
    if release is not None and release.number > 1:
        _tell(f"release {release.number}; undo: {_undo(cluster, changes.application)}")


def _undo(cluster: Cluster, application: str) -> str:
    return f"tidemill app rollback {application} -n {cluster.namespace} --context {cluster.context}"


def _confirm(question: str, yes: bool) -> None:
    """Never a question where nobody can answer; no is the default."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this needs a confirmation, and there is no terminal to ask on", hint="add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Cancelled("nothing was changed")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
