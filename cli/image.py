"""`tidemill image`: build an application's image without a daemon, and bring it to a registry.

stdout is the image's name with its digest, which a deployment can use as it is; everything else goes to
stderr.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from ..errors import UsageError
from ..knative.images import references
from ..knative.images.oci import Platform

app = cyclopts.App(name="image", help="Build an application's image and bring it to a registry.")

_DEFAULT_BASE = f"docker.io/library/python:{sys.version_info.major}.{sys.version_info.minor}-slim"
_OFFERED = ("linux/amd64", "linux/arm64")

Insecure = Annotated[bool, Parameter(negative=(), help="speak to registries without TLS")]


@app.command
def build(
    directory: Annotated[Path, Parameter(help="the application's folder")] = Path("."),
    *,
    base: Annotated[str, Parameter(help="image with Python 3.11 or newer, glibc")] = _DEFAULT_BASE,
    tag: Annotated[str | None, Parameter(name=["--tag", "-t"], help="registry/repository:tag")] = None,
    platform: Annotated[str, Parameter(help=f"of {', '.join(_OFFERED)}, with commas")] = _OFFERED[0],
    output: Annotated[Path | None, Parameter(help="write an OCI layout: a folder, or FILE.tar")] = None,
    python: Annotated[str | None, Parameter(help="the base's Python, where it does not say so")] = None,
    refresh: Annotated[bool, Parameter(negative=(), help="resolve packages anew")] = False,
    dockerfile: Annotated[bool, Parameter(negative=(), help="print a Dockerfile and build nothing")] = False,
    insecure: Insecure = False,
) -> None:
    """Build the image of an application. Run it again and the digest is the same."""
    from ..application.planner import study
    from ..knative.images import build as building
    from ..knative.images import runtime
    from ..knative.images.dockerfile import dockerfile as written
    from ..knative.images.layout import export
    from ..knative.images.store import remember_image, user_store
    from ..knative.images.transport import Registries

    name = _name(tag)
    stand_on = references.parse(base)
    _refuse_alpine(stand_on)
    plan = study(directory).plan
    extras = runtime.extras_of(plan)
    if dockerfile:
        sys.stdout.write(written(directory, stand_on, extras))
        return
    options = building.BuildOptions(
        directory=directory,
        application=plan.application,
        base=stand_on,
        platforms=_platforms(platform),
        needs=partial(runtime.runtime, extras),
        python=_minor(python),
        refresh=refresh,
    )
    registries, store = Registries(insecure=insecure), user_store()
    made = building.build(options, registries, store, _say)
    if output is not None:
        export(made.descriptor, name, output, registries, store)
        _say(f"wrote {output}")
    if name is not None:
        remember_image(store, str(name), made.descriptor)
    print(name.at(made.descriptor.digest) if name else made.descriptor.digest)


@app.command
def push(
    name: Annotated[str, Parameter(help="what 'tidemill image build --tag' was given")],
    *,
    insecure: Insecure = False,
) -> None:
    """Bring what was built under that name to its registry. Only what is missing there is sent."""
    from ..knative.images import push as pushing
    from ..knative.images.store import user_store
    from ..knative.images.transport import Registries

    print(pushing.push(references.parse(name), Registries(insecure=insecure), user_store(), _say))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _name(tag: str | None) -> references.Reference | None:
    name = references.parse(tag) if tag else None
    if name is not None and name.digest:
        raise UsageError(f"'{tag}' has a digest, which is not known before the build", hint="leave '@…' out")
    return name


def _platforms(text: str) -> tuple[Platform, ...]:
    found = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    for part in found:
        if part not in _OFFERED:
            raise UsageError(f"no image can be built for '{part}'", hint=f"one of {', '.join(_OFFERED)}")
    if not found:
        raise UsageError("--platform names no platform", hint=f"one of {', '.join(_OFFERED)}")
    return tuple(Platform(*part.split("/")) for part in found)


def _minor(python: str | None) -> str | None:
    if python is not None and not re.fullmatch(r"\d+\.\d+", python):
        raise UsageError(f"'{python}' is no version of Python as --python takes it", hint="as 3.11")
    return python


def _refuse_alpine(base: references.Reference) -> None:
    """It would be found out in the pod only: the packages are for glibc."""
    if "alpine" in f"{base.repository}:{base.tag}":
        raise UsageError(f"{base} has musl, and packages are built for glibc", hint="take a '-slim' image")
