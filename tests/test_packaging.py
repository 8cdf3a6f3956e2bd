"""The wheel: what is in it, and that it works with nothing but the dependencies that it names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NO_CODE = {"tests", "benchmarks", "examples", "docs", "build", "dist"}  # folders that are no rooms
IMPORT_ALL = """
import importlib, pkgutil, sys, tidemill
names = [module.name for module in pkgutil.walk_packages(tidemill.__path__, "tidemill.")]
for name in names:
    importlib.import_module(name)
print(tidemill.__file__, len(names))
"""


def source_files() -> Iterator[Path]:
    """Every Python file of the package, relative to the root."""
    yield from (file.relative_to(ROOT) for file in ROOT.glob("*.py"))
    for room in ROOT.iterdir():
        if room.is_dir() and room.name not in NO_CODE and not room.name.startswith("."):
            yield from (file.relative_to(ROOT) for file in room.rglob("*.py"))


def run(*words: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is written into the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, folder / "source", ignore=left_out)
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    run(*build, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """An environment with the wheel and what it requires, without any extra."""
    folder = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=wheel.parent)
    site = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip())
    for needed in required("tidemill").values():
        link(needed, site)
    return folder


def required(name: str) -> dict[str, Distribution]:
    """The distributions that one requires, and those that they require."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        for text in distribution(waiting.pop()).requires or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in found:
                found[requirement.name] = distribution(requirement.name)
                waiting.append(requirement.name)
    return found


def link(needed: Distribution, site: Path) -> None:
    """Everything that the distribution has in site-packages."""
    for top in {file.parts[0] for file in needed.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(needed.locate_file(top))))


def test_every_folder_with_code_is_a_listed_package() -> None:
    with_code = {".".join(("tidemill", *file.parts[:-1])) for file in source_files()}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == with_code
    assert all((ROOT / "/".join(name.split(".")[1:]) / "__init__.py").is_file() for name in with_code)


def test_the_wheel_holds_the_code_and_nothing_else(names: set[str]) -> None:
    modules = {f"tidemill/{file.as_posix()}" for file in source_files()}
    info = f"tidemill-{PROJECT['project']['version']}.dist-info"
    assert {name for name in names if not name.startswith(info)} == {*modules, "tidemill/py.typed"}
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/entry_points.txt" in names


def test_every_module_imports_with_the_core_dependencies(environment: Path) -> None:
    python = environment / "bin" / "python"
    place, count = run(python, "-I", "-c", IMPORT_ALL, cwd=environment).split()
    assert Path(place).is_relative_to(environment)
    files = list(source_files())
    assert int(count) == len(files) - 1  # the root's own __init__ is not walked
    with_numpy = "import importlib.util; assert importlib.util.find_spec('numpy') is None"
    run(python, "-I", "-c", with_numpy, cwd=environment)  # else the test would prove nothing


def test_the_installed_command_plans_an_application(environment: Path, tmp_path: Path) -> None:
    command = environment / "bin" / "tidemill"
    assert run(command, "--version", cwd=tmp_path).strip() == PROJECT["project"]["version"]
    (tmp_path / "pipeline.yaml").write_text(
        "topics: [{name: in}, {name: out}]\npipeline: [{type: identity, input: in, output: out}]\n"
    )
    assert "in → pipeline-identity-1" in run(command, "plan", tmp_path, cwd=tmp_path)
