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
    for architecture, machine in (("amd64", "x86-64"), ("arm64", "aarch64")):
        source = f"docker://{image.name}@{image.digest}"
        copy = ("--src-tls-verify=false", source, f"oci:{layout}:{architecture}")
        run("skopeo", "--override-arch", architecture, "copy", *copy)
        bundle = folder / architecture
        run("umoci", "unpack", "--image", f"{layout}:{architecture}", str(bundle))
        (core,) = (bundle / "rootfs/opt/tidemill/packages/pydantic_core").glob("*.so")
        assert machine in run("file", "-b", str(core))
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
    code = "import sys, tidemill.functions.serve, uvicorn; print(*(m.__spec__.cached and "
    code += "__import__('os').path.exists(m.__spec__.cached) for n, m in sorted(sys.modules.items()) "
    code += (
        "if getattr(m, '__file__', None) and m.__file__.startswith('/opt') and m.__file__.endswith('.py')))"
    )
    with container(image) as name:
        words = ("--isolation", "chroot", "--user", "65532:65532", name, "--", "python", "-c", code)
        found = run("buildah", "run", *words).split()
    assert len(found) > 50
    assert set(found) == {"True"}


def test_the_annotations_say_what_it_stands_on(world: World, image: Reference) -> None:
    for entry in world.store.document(str(image.digest))["manifests"]:
        notes = world.store.document(entry["digest"])["annotations"]
        assert notes[oci.BASE_DIGEST] == world.base.digest
