"""The whole way with real parts: packages from the index, Debian's registry, skopeo, umoci, a container.

Run by `make test-images`. The base is this machine's Debian Python; the container is buildah's, with chroot
isolation, as a user without a name. Nothing is skipped: a program that is missing fails the test.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import machine_base
from support.debian_registry import debian_registry, program
from support.image_world import AMD, ARM, World, put_base, reference

from tidemill.application.planner import plan_directory
from tidemill.functions.unit import write_unit
from tidemill.knative.images import oci, runtime
from tidemill.knative.images.dockerfile import dockerfile
from tidemill.knative.images.push import push
from tidemill.knative.images.references import Reference
from tidemill.knative.images.store import Store, remember_image

pytestmark = [pytest.mark.images, pytest.mark.timeout(600)]

PIPELINE = """
topics: [{name: in, creation-mode: create-if-not-exists}, {name: out, creation-mode: create-if-not-exists}]
pipeline:
  - {type: python-processor, input: in, output: out, configuration: {className: mine.Shout}}
"""
MODULE = """
import emoji
from langstream import SimpleRecord
class Shout:
    def process(self, record):
        return [SimpleRecord(emoji.emojize(record.value().upper() + " :rocket:"))]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    """An application with a requirement, its image for both platforms in Debian's registry."""
    directory = folder / "shout"
    (directory / "python").mkdir(parents=True)
    (directory / "pipeline.yaml").write_text(PIPELINE)
    (directory / "python" / "mine.py").write_text(MODULE)
    (directory / "python" / "requirements.txt").write_text("emoji==2.14.0\n")
    extras = runtime.extras_of(plan_directory(directory))
    settings = machine_base.configuration()
    frozen = folder / "tidemill"  # others may edit the tree while this runs
    with pytest.MonkeyPatch.context() as patch, debian_registry(folder) as host:
        runtime.copy_package(folder)
        patch.setattr(runtime, "PACKAGE", frozen)
        target = reference(host, "debian/python:3.11")
        base = put_base(target, folder, (AMD, ARM), settings, machine_base.fill)
        made = World(Store(folder / "cache"), directory, base)
        made.needs = partial(runtime.runtime, extras)
        yield made


@pytest.fixture(scope="module")
def image(world: World) -> Reference:
    """The image, pushed."""
    built = world.build((AMD, ARM))
    target = Reference(world.base.registry, "me/shout", "1")
    remember_image(world.store, str(target), built.descriptor)
    return push(target, world.client, world.store, world.said.append)


def run(*words: str, **more: str) -> str:
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", **more}
    done = subprocess.run(
        [program(words[0]), *words[1:]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_skopeo_finds_both_platforms(image: Reference) -> None:
    place = f"docker://{image.name}@{image.digest}"
    for architecture in ("amd64", "arm64"):
        words = ("--tls-verify=false", "--override-arch", architecture, place)
        found = json.loads(run("skopeo", "inspect", *words))
        assert found["Architecture"] == architecture
        assert len(found["Layers"]) == 5


def test_two_empty_caches_give_the_same_digest(world: World, image: Reference, folder: Path) -> None:
    again = replace(world, store=Store(folder / "second-cache"))
    first, _ = world.store.document(str(image.digest))["manifests"]
    assert again.build((AMD,)).descriptor.digest == first["digest"]


def test_one_changed_line_pushes_one_layer(world: World, image: Reference, folder: Path) -> None:
    directory = folder / "changed" / "shout"
    shutil.copytree(world.directory, directory)
    with (directory / "python" / "mine.py").open("a") as file:
        file.write("# another line\n")
    changed = replace(world, directory=directory)
    target = Reference(image.registry, image.repository, "2")
    remember_image(world.store, str(target), changed.build((AMD, ARM)).descriptor)
    said: list[str] = []
    push(target, world.client, world.store, said.append)
    sent = [line.split()[0] for line in said if "pushed" in line]
    assert sent == ["application", "configuration", "configuration"]


def test_umoci_unpacks_it_and_wheels_fit_their_platform(world: World, image: Reference, folder: Path) -> None:
    layout = folder / "layout"
    for architecture, machine in (("amd64", 62), ("arm64", 183)):
        source = f"docker://{image.name}@{image.digest}"
        copy = ("--src-tls-verify=false", source, f"oci:{layout}:{architecture}")
        run("skopeo", "--override-arch", architecture, "copy", *copy)
        bundle = folder / architecture
        run("umoci", "unpack", "--image", f"{layout}:{architecture}", str(bundle))
        (core,) = (bundle / "rootfs/opt/tidemill/packages/pydantic_core").glob("*.so")
        assert core.read_bytes()[18] == machine  # where ELF has it
        assert (bundle / "rootfs/application/python/__pycache__/mine.cpython-311.pyc").is_file()


@contextmanager
def container(image: Reference) -> Iterator[str]:
    words = ("from", "--tls-verify=false", f"docker://{image.name}@{image.digest}")
    name = run("buildah", *words).strip().splitlines()[-1]
    try:
        yield name
    finally:
        run("buildah", "rm", name)


@contextmanager
def serving(name: str, unit: Path) -> Iterator[str]:
    """The unit, as its pod starts it: the image's user and command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program("buildah"), "run", "--isolation", "chroot", "--user", "65532:65532"]
    command += ["-v", f"{unit}:/etc/unit.json:ro", "--env", "TIDEMILL_UNIT=/etc/unit.json"]
    command += ["--env", f"PORT={port}", "--env", "HOME=/tmp", name]
    command += ["--", "python", "-m", "tidemill.functions.serve"]
    environment = {**os.environ, "STORAGE_DRIVER": "vfs"}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def ask(url: str) -> tuple[int, bytes]:
    headers = {"ce-id": "1", "ce-source": "/t", "ce-type": "t", "ce-specversion": "1.0"}
    headers["Content-Type"] = "text/plain"
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, b"hello", headers), timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{error.code}: {error.read().decode()}")
        except OSError:
            assert time.monotonic() < deadline, "the container does not answer"
            time.sleep(0.05)


def test_the_container_answers_an_event(world: World, image: Reference, folder: Path) -> None:
    unit = folder / "unit.json"
    (planned,) = plan_directory(world.directory).units
    unit.write_bytes(write_unit(planned.spec))
    unit.chmod(0o644)
    with container(image) as name, serving(name, unit) as url:
        status, body = ask(url)
    assert status == 200
    assert body.decode() == "HELLO 🚀"


def test_nothing_is_compiled_at_the_start(image: Reference) -> None:
    """Every module of the closure of a unit comes from bytecode that is in the image."""
    code = "import os, sys, tidemill.functions.serve, uvicorn\n"
    code += "named = [m for m in sys.modules.values() if getattr(m, '__file__', None)]\n"
    code += "ours = [m for m in named if m.__file__.startswith('/opt')]\n"
    code += "places = [m.__spec__.cached for m in ours if m.__file__.endswith('.py')]\n"
    code += "print(*map(os.path.exists, places))"
    with container(image) as name:
        words = ("--isolation", "chroot", "--user", "65532:65532", name, "--", "python", "-c", code)
        found = run("buildah", "run", *words).split()
    assert len(found) > 50
    assert set(found) == {"True"}


def test_the_annotations_say_what_it_stands_on(world: World, image: Reference) -> None:
    for entry in world.store.document(str(image.digest))["manifests"]:
        notes = world.store.document(entry["digest"])["annotations"]
        assert notes[oci.BASE_DIGEST] == world.base.digest


def test_the_dockerfile_builds_an_image_that_starts(world: World, folder: Path) -> None:
    """pip finds all in a folder of wheels: this Tidemill is on no index yet."""
    settings = machine_base.configuration()
    target = replace(world.base, repository="debian/pip", digest=None)
    base = put_base(target, folder, settings=settings, fill=machine_base.fill_with_pip)
    context = folder / "context"
    shutil.copytree(world.directory, context)
    (context / ".dockerignore").write_text("*.yaml\n")
    _gather_wheels(folder)
    text = dockerfile(context, base, ("kafka",))
    (folder / "Dockerfile").write_text(text.replace("ENV ", "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels ", 1))
    words = ("--isolation", "chroot", "--tls-verify=false", "-v", f"{folder}/wheels:/wheels:ro")
    run("buildah", "bud", *words, "-t", "localhost/made:1", "-f", f"{folder}/Dockerfile", str(context))
    code = "import os, emoji, tidemill.functions.serve as serve; print(os.getuid(), "
    code += "os.path.exists(serve.__spec__.cached), *sorted(os.listdir('/application/python')))"
    name = run("buildah", "from", "localhost/made:1").strip()
    try:
        shown = run("buildah", "run", "--isolation", "chroot", name, "--", "python", "-c", code)
    finally:
        run("buildah", "rm", name)
        run("buildah", "rmi", "localhost/made:1")
    assert shown.split() == ["65532", "True", "__pycache__", "mine.py", "requirements.txt"]


def _gather_wheels(folder: Path) -> None:
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", f"{folder}/wheels", _source(folder))
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    words = ("-m", "pip", "download", "-q", "-d", f"{folder}/wheels", "--find-links", f"{folder}/wheels")
    asked = ("tidemill[kafka]", "emoji==2.14.0")
    subprocess.run([sys.executable, *words, *asked], check=True, capture_output=True)


def _source(folder: Path) -> Path:
    """A copy of the tree, so that nothing is written into it."""
    root = Path(__file__).parents[3]
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "tests")
    shutil.copytree(root, folder / "source", ignore=left_out)
    return folder / "source"
