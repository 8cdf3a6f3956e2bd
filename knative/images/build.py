"""Builds an application's image: layers on a base image, without a daemon and without running anything in it.

Called by `tidemill image build` and by a deployment. The same base, files, packages and interpreter give
the same digest. The layers, from what changes least to what changes most: packages that Tidemill needs,
Tidemill, the application's requirements, the application.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ApplicationError, Position, Problem
from .. import pods
from ..objects import APPLICATION_LABEL
from . import bytecode, layers, oci, runtime, sources, unpack, wheels
from .base import Base, find_bases, python_of
from .bytecode import Interpreter
from .layers import Recipe
from .oci import Descriptor, Document, Layer, Platform
from .references import Reference
from .runtime import Runtime
from .store import Store, put_document
from .transport import Registries
from .wheels import Target, Wheel

OWNER = "65532:65532"  # a number, so that Kubernetes can see that it is not root
HOME = "opt/tidemill"
PACKAGES, LIBRARY, REQUIREMENTS = f"{HOME}/packages", f"{HOME}/lib", f"{HOME}/requirements"
COMMAND = ["python", "-m", "tidemill.functions.serve"]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What to build. `needs` says what Tidemill needs on a target; `python` is the base's, where it does
    not say so itself; `refresh` resolves packages anew."""

    directory: Path
    application: str
    base: Reference
    platforms: tuple[Platform, ...]
    needs: Callable[[Target], Runtime]
    python: str | None = None
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: a manifest, or an index of several."""

    descriptor: Descriptor
    base: Reference
    platforms: tuple[Platform, ...]


def build(
    options: BuildOptions, registries: Registries, store: Store, report: Callable[[str], None]
) -> Image:
    """The image, in the store. Raises ImageError, NotFound, RegistryError, ApplicationError."""
    bases = find_bases(options.base, options.platforms, registries, store)
    report(f"base {options.base} is {bases[0].reference.digest}")
    made = [(_build_one(options, base, store, report), base.platform) for base in bases]
    if len(made) == 1:
        found = made[0][0]
    else:
        found = put_document(store, oci.index(made, _notes(bases[0])), oci.INDEX)
    return Image(found, bases[0].reference, tuple(platform for _, platform in made))


def _build_one(options: BuildOptions, base: Base, store: Store, report: Callable[[str], None]) -> Descriptor:
    stack = []
    for recipe in _recipes(options, base, store):
        stack.append(layers.make(recipe, store))
        report(f"{base.platform} {_shown(stack[-1])}")
    configuration = oci.with_layers(base.configuration, stack, _variables(base), _settings(options, base))
    described = put_document(store, configuration, oci.CONFIG)
    document = oci.manifest(described, base.layers, stack, _notes(base))
    return put_document(store, document, oci.MANIFEST)


def _shown(layer: Layer) -> str:
    return f"{layer.title}: {oci.size_words(layer.descriptor.size)}, {layer.descriptor.digest[:19]}"


def _recipes(options: BuildOptions, base: Base, store: Store) -> Iterator[Recipe]:
    target = Target(base.platform, python_of(base, options.python))
    interpreter = bytecode.find_interpreter(target.python)
    answer = _answer(options, target, store)
    if answer.runtime:
        yield _wheels_layer("packages", PACKAGES, answer.runtime, interpreter, store)
    yield _library_layer(interpreter)
    if answer.user:
        yield _wheels_layer("requirements", REQUIREMENTS, answer.user, interpreter, store)
    yield _application_layer(options.directory, interpreter)


def _answer(options: BuildOptions, target: Target, store: Store) -> wheels.Answer:
    needs = options.needs(target)
    file = options.directory / "python" / "requirements.txt"
    requirements = file if file.is_file() else None
    question = wheels.Question(needs.roots, needs.pins, requirements, target)
    return wheels.resolve(question, store, refresh=options.refresh)


def _wheels_layer(
    title: str, folder: str, found: Sequence[Wheel], interpreter: Interpreter, store: Store
) -> Recipe:
    def fill(root: Path) -> None:
        for wheel in found:
            unpack.unpack(wheels.wheel_path(store, wheel), root / folder)
        bytecode.compile_tree(root, interpreter)  # packages may hold files for other Pythons

    names = sorted(f"{wheel.file} {wheel.sha256}" for wheel in found)
    return Recipe(title, _key(interpreter, names), fill)


def _library_layer(interpreter: Interpreter) -> Recipe:
    def fill(root: Path) -> None:
        runtime.copy_package(root / LIBRARY)
        bytecode.compile_tree(root, interpreter)

    return Recipe("tidemill", _key(interpreter, [runtime.package_key()]), fill)


def _application_layer(directory: Path, interpreter: Interpreter) -> Recipe:
    folder = pods.CODE_FOLDER.lstrip("/")

    def fill(root: Path) -> None:
        (root / folder).mkdir()
        sources.copy_application(directory, root / folder)
        _refuse_broken(directory, bytecode.compile_tree(root, interpreter))

    return Recipe("application", _key(interpreter, [sources.application_key(directory)]), fill)


def _refuse_broken(directory: Path, failures: Sequence[bytecode.Failure]) -> None:
    """The user's own modules must be Python; what lies in `python/lib` is others' and may be for another."""
    own = f"{pods.CODE_FOLDER}/python/"
    problems = [
        Problem(f"this is not Python: {failure.message}", Position(str(place), failure.line))
        for failure in failures
        if failure.file.startswith(own) and not failure.file.startswith(f"{own}lib/")
        for place in [directory / Path(failure.file).relative_to(pods.CODE_FOLDER)]
    ]
    if problems:
        raise ApplicationError(problems)


def _key(interpreter: Interpreter, parts: Sequence[str]) -> str:
    return json.dumps([interpreter.minor, interpreter.build, *parts])


def _variables(base: Base) -> dict[str, str]:
    """Programs and modules of our layers come before the base's."""
    theirs = oci.variables_of(base.configuration)
    search = theirs.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    modules = [f"/{LIBRARY}", f"/{PACKAGES}", f"/{REQUIREMENTS}", theirs.get("PYTHONPATH", "")]
    return {
        "PATH": f"/{PACKAGES}/bin:/{REQUIREMENTS}/bin:{search}",
        "PYTHONPATH": ":".join(filter(None, modules)),
        "PYTHONDONTWRITEBYTECODE": "1",  # the root is read-only, and everything is compiled
        "PYTHONUNBUFFERED": "1",
        "TIDEMILL_CODE": pods.CODE_FOLDER,
    }


def _settings(options: BuildOptions, base: Base) -> Document:
    labels = base.configuration.get("config", {}).get("Labels") or {}
    return {
        "User": OWNER,
        "WorkingDir": "/",
        "Entrypoint": None,
        "Cmd": COMMAND,
        "ExposedPorts": {f"{pods.PORT}/tcp": {}},
        "Labels": {**labels, APPLICATION_LABEL: options.application},
    }


def _notes(base: Base) -> dict[str, str]:
    """Where a push finds the base's layers."""
    reference = base.reference
    tag = f":{reference.tag}" if reference.tag else ""
    return {oci.BASE_NAME: f"{reference.name}{tag}", oci.BASE_DIGEST: str(reference.digest)}
