"""Building and pushing: the same digest each time, and nothing sent that is there already."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.image_registry import Contents, serving
from support.image_world import AMD, ARM, HERE, World, put_base, reference, registries, write_wheel

from tidemill.errors import ApplicationError, NotFound, UsageError
from tidemill.knative.images import layout, oci, registry
from tidemill.knative.images.build import Image
from tidemill.knative.images.faults import ImageError, RegistryUnreachable
from tidemill.knative.images.oci import Document
from tidemill.knative.images.push import push
from tidemill.knative.images.references import Reference
from tidemill.knative.images.store import Store, remember_image


def pushed(world: World, target: Reference, image: Image | None = None) -> list[str]:
    """What a push of a build said, without the digests."""
    made = image or world.build()
    remember_image(world.store, str(target), made.descriptor)
    said: list[str] = []
    assert push(target, world.client, world.store, said.append).digest == made.descriptor.digest
    return [f"{line.split(' sha256')[0]}: {line.rpartition(': ')[2].split(',')[0]}" for line in said]


def manifest(world: World, image: Image) -> Document:
    return world.store.document(image.descriptor.digest)


def configuration(world: World, image: Image) -> Document:
    return world.store.document(manifest(world, image)["config"]["digest"])


def files(world: World, image: Image, title: str) -> dict[str, bytes]:
    """What the layer of that title holds."""
    (found,) = (x for x in manifest(world, image)["layers"] if x.get("annotations") == {oci.TITLE: title})
    content = gzip.decompress(world.store.blob(found["digest"]).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {m.name: stream.read() for m in members if (stream := archive.extractfile(m))}


# -- the same input


def test_two_empty_caches_give_the_same_digest(world: World, tmp_path: Path) -> None:
    moved = tmp_path / "moved" / "application"
    shutil.copytree(world.directory, moved)
    other = replace(world, store=Store(tmp_path / "other-cache"), directory=moved)
    assert world.build((AMD,)) == other.build((AMD,))
    assert world.store.root != other.store.root


def test_only_the_layer_that_changed_is_pushed(world: World, host: str) -> None:
    target = reference(host, "me/app:1")
    assert pushed(world, target) == [
        "base layer: mounted from library/python",
        *("tidemill: pushed", "application: pushed", "configuration: pushed"),
    ]
    (world.directory / "python" / "mine.py").write_text("ANSWER = 42\n")
    assert pushed(world, target) == [
        *("base layer: there already", "tidemill: there already"),
        *("application: pushed", "configuration: pushed"),
    ]
    (said,) = pushed(world, target)
    assert "is there already" in said


def test_a_prompt_is_no_part_of_the_image(world: World) -> None:
    before = world.build()
    (world.directory / "pipeline.yaml").write_text("topics: [{name: b}]\n")
    assert world.build() == before


# -- what is in it


def test_the_container_is_what_the_pods_expect(world: World) -> None:
    settings = configuration(world, world.build())
    assert settings["config"]["User"] == "65532:65532"
    assert settings["config"]["Cmd"] == ["python", "-m", "tidemill.functions.serve"]
    assert settings["config"]["Labels"] == {"tidemill.dev/application": "app"}
    variables = oci.variables_of(settings)
    assert variables["PATH"].endswith(":/usr/bin")
    assert variables["PYTHONPATH"].split(":")[0] == "/opt/tidemill/lib"
    assert variables["TIDEMILL_CODE"] == "/application"
    assert variables["PYTHON_VERSION"] == f"{HERE}.9"  # the base's own
    assert settings["created"] == "1970-01-01T00:00:00Z"
    assert len(settings["rootfs"]["diff_ids"]) == len(settings["history"]) == 3


def test_every_python_file_has_its_bytecode(world: World) -> None:
    made = world.build()
    for title, expected in (
        ("application", "application/python/mine.py"),
        ("tidemill", "tidemill/record.py"),
    ):
        found = files(world, made, title)
        sources = {name for name in found if name.endswith(".py")}
        assert any(name.endswith(expected) for name in sources)
        for name in sources:
            folder, _, module = name.rpartition("/")
            tag = f"cpython-{HERE.replace('.', '')}"
            assert f"{folder}/__pycache__/{module.removesuffix('.py')}.{tag}.pyc" in found


def test_an_application_without_code_has_its_folder(world: World) -> None:
    shutil.rmtree(world.directory / "python")
    assert files(world, world.build(), "application") == {}


def test_requirements_are_a_layer_below_the_application(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    write_wheel(index, "core")
    write_wheel(index, "theirs", needs=["core"])
    (world.directory / "python" / "requirements.txt").write_text("theirs==1.0\n")
    world.roots = ("core",)
    made = world.build()
    titles = [entry.get("annotations", {}).get(oci.TITLE) for entry in manifest(world, made)["layers"]]
    assert titles == [None, "packages", "tidemill", "requirements", "application"]
    assert "opt/tidemill/packages/core/__init__.py" in files(world, made, "packages")
    assert "opt/tidemill/requirements/theirs/__init__.py" in files(world, made, "requirements")


def test_broken_modules_are_told_before_anything_is_pushed(world: World) -> None:
    (world.directory / "python" / "bad.py").write_text("x = 1\ny = = 2\n")
    vendored = world.directory / "python" / "lib"
    vendored.mkdir()
    (vendored / "python2.py").write_text("print 'theirs'\n")
    with pytest.raises(ApplicationError) as caught:
        world.build()
    (problem,) = caught.value.problems
    assert str(problem.at) == f"{world.directory}/python/bad.py:2:1"


# -- bases


def test_an_index_gives_each_platform_its_base(world: World, host: str, tmp_path: Path) -> None:
    world.base = put_base(reference(host, "library/both:1"), tmp_path, (AMD, ARM))
    made = world.build((AMD, ARM))
    assert made.platforms == (AMD, ARM)
    entries = world.store.document(made.descriptor.digest)["manifests"]
    assert [oci.platform_of(entry["platform"]) for entry in entries] == [AMD, ARM]
    target = reference(host, "me/both:1")
    said = pushed(world, target, made)
    assert said.count("application: pushed") == 1  # both platforms have the same one
    found, content = registry.manifest(registries(), target)
    assert found == made.descriptor
    assert json.loads(content)["manifests"] == entries
    only_arm = world.build((ARM,))
    assert only_arm.descriptor.digest == entries[1]["digest"]


def test_a_base_without_the_platform_says_which_there_are(world: World) -> None:
    with pytest.raises(ImageError, match="not there for linux/arm64") as caught:
        world.build((ARM,))
    assert "linux/amd64" in str(caught.value.hint)


def test_a_base_that_is_not_there(world: World, host: str) -> None:
    world.base = reference(host, "library/pyhton:3.11")
    with pytest.raises(NotFound, match="library/pyhton") as caught:
        world.build()
    assert "--base" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("version", "stated", "message"),
    [
        (None, None, "does not say which Python"),
        ("3.9.1", None, "has Python 3.9; Tidemill needs 3.11"),
        ("3.99.0", None, "no python3.99 is here"),
        ("3.99.0", HERE, None),
        (None, HERE, None),
    ],
)
def test_the_python_of_a_base(
    world: World, host: str, tmp_path: Path, version: str | None, stated: str | None, message: str | None
) -> None:
    settings = {"Env": [f"PYTHON_VERSION={version}"]} if version else {}
    world.base = put_base(reference(host, "library/other:1"), tmp_path, settings=settings)
    if message is None:
        assert world.build(python=stated)
        return
    with pytest.raises(ImageError, match=message):
        world.build(python=stated)


# -- pushing


def test_another_registry_gets_the_base_too(world: World) -> None:
    other = Contents()
    with serving(other) as there:
        target = reference(there, "me/app:1")
        assert "base layer: pushed" in pushed(world, target)
        media, content = other.manifests["me/app"]["1"]
    held = {entry["digest"] for entry in json.loads(content)["layers"]}
    assert held < set(other.blobs["me/app"])
    assert media == oci.MANIFEST


def test_a_push_that_was_cut_short_is_finished_by_the_next(
    own_registry: str, contents: Contents, tmp_path: Path, application: Path, small_tidemill: Path
) -> None:
    """However many requests went through before the registry went away."""
    base = put_base(reference(own_registry, "library/python:3"), tmp_path)
    world = World(Store(tmp_path / "cache"), application, base)
    made = world.build()
    for allowed in range(40):
        target = reference(own_registry, f"me/app{allowed}:1")
        remember_image(world.store, str(target), made.descriptor)
        contents.allowed = allowed
        try:
            push(target, world.client, world.store, world.said.append)
        except RegistryUnreachable:
            contents.allowed = None
            assert "1" not in contents.manifests.get(target.repository, {})  # a name is never half there
            push(target, world.client, world.store, world.said.append)
            assert contents.manifests[target.repository]["1"]
        else:
            break
    contents.allowed = None
    assert 5 < allowed < 39


def test_what_was_not_built_cannot_be_pushed(world: World, host: str) -> None:
    pushed(world, reference(host, "me/app:1"))
    with pytest.raises(NotFound, match="built image") as caught:
        push(reference(host, "me/app:2"), world.client, world.store, world.said.append)
    assert f"{host}/me/app:1" in str(caught.value)


# -- layouts


@pytest.mark.parametrize("name", ["out.tar", "out"])
def test_a_layout_holds_all_that_the_image_consists_of(world: World, tmp_path: Path, name: str) -> None:
    made, target = world.build(), Reference("ghcr.io", "me/app", "1")
    output = tmp_path / name
    layout.export(made.descriptor, target, output, world.client, world.store)
    if output.suffix:
        first = output.read_bytes()
        layout.export(made.descriptor, target, output, world.client, world.store)
        assert output.read_bytes() == first
        with tarfile.open(output) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        output = tmp_path / "unpacked"
    assert json.loads((output / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((output / "index.json").read_text())["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"
    document = json.loads((output / "blobs" / entry["digest"].replace(":", "/")).read_text())
    for blob in [document["config"], *document["layers"]]:
        place = output / "blobs" / blob["digest"].replace(":", "/")
        assert oci.digest_of(place.read_bytes()) == blob["digest"]


def test_a_layout_does_not_overwrite_what_is_something_else(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no OCI layout"):
        layout.export(world.build().descriptor, None, tmp_path / "mine", world.client, world.store)
