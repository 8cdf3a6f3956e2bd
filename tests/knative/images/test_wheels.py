"""Which wheels an image gets: pip resolves for the image's platform, from a folder of our own wheels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.image_world import AMD, ARM, HERE, write_wheel

from tidemill.knative.images import unpack, wheels
from tidemill.knative.images.faults import ImageError
from tidemill.knative.images.oci import Platform
from tidemill.knative.images.store import Store
from tidemill.knative.images.wheels import Answer, Question, Target

CP = f"cp{HERE.replace('.', '')}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip can find."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


class Asking:
    """Resolves with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")

    def __call__(
        self,
        *roots: str,
        pins: Sequence[str] = (),
        requirements: str | None = None,
        platform: Platform = AMD,
        refresh: bool = False,
    ) -> Answer:
        file = None
        if requirements is not None:
            file = self.folder / "requirements.txt"
            file.write_text(requirements)
        question = Question(roots, tuple(pins), file, Target(platform, HERE))
        return wheels.resolve(question, self.store, refresh=refresh)


@pytest.fixture
def ask(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def names(found: Sequence[wheels.Wheel]) -> list[str]:
    return sorted(wheel.file.removesuffix(".whl") for wheel in found)


def test_each_platform_gets_its_own_wheels(index: Path, ask: Asking) -> None:
    for tag in ("manylinux_2_17_x86_64", "manylinux2014_aarch64", "win_amd64", "musllinux_1_2_x86_64"):
        write_wheel(index, "fast", tag=f"{CP}-{CP}-{tag}")
    write_wheel(index, "fast", tag=f"{CP}-abi3-linux_riscv64")
    assert names(ask("fast").runtime) == [f"fast-1.0-{CP}-{CP}-manylinux_2_17_x86_64"]
    assert names(ask("fast", platform=ARM).runtime) == [f"fast-1.0-{CP}-{CP}-manylinux2014_aarch64"]


def test_markers_are_those_of_the_image(index: Path, ask: Asking) -> None:
    """pip evaluates them for the machine it runs on, which is no arm64 here, or else no amd64."""
    needs = [
        "arm-only; platform_machine == 'aarch64'",
        "intel-only; platform_machine == 'x86_64'",
        "old-only; python_version < '3.8'",
        "windows-only; sys_platform == 'win32'",
        "chosen[more]; os_name == 'posix'",
    ]
    write_wheel(index, "root", needs=needs)
    for name in ("arm-only", "intel-only", "old-only", "windows-only", "deep"):
        write_wheel(index, name)
    write_wheel(index, "chosen", needs=["deep; extra == 'more'", "windows-only; extra == 'less'"])
    stem = "1.0-py3-none-any"
    arm = [f"arm_only-{stem}", f"chosen-{stem}", f"deep-{stem}", f"root-{stem}"]
    amd = [f"chosen-{stem}", f"deep-{stem}", f"intel_only-{stem}", f"root-{stem}"]
    assert names(ask("root", platform=ARM).runtime) == arm
    assert names(ask("root", platform=AMD).runtime) == amd


def test_the_users_packages_are_a_layer_of_their_own(index: Path, ask: Asking) -> None:
    write_wheel(index, "core", needs=["shared"])
    write_wheel(index, "mine", needs=["shared", "only-mine"])
    for name in ("shared", "only-mine"):
        write_wheel(index, name)
    found = ask("core", requirements="mine==1.0  # a comment\n")
    assert [wheel.name for wheel in found.runtime] == ["core", "shared"]
    assert [wheel.name for wheel in found.user] == ["mine", "only-mine"]


def test_our_pins_hold_until_the_user_asks_for_another_version(index: Path, ask: Asking) -> None:
    for version in ("1.0", "2.0", "3.0"):
        write_wheel(index, "core", version)
    assert names(ask("core>=1", pins=["core==2.0"]).runtime) == ["core-2.0-py3-none-any"]
    chosen = ask("core>=1", pins=["core==2.0"], requirements="core<2\n")
    assert names(chosen.runtime) == ["core-1.0-py3-none-any"]


def test_an_answer_is_remembered_until_something_changes(index: Path, ask: Asking) -> None:
    write_wheel(index, "core", "1.0")
    first = ask("core")
    write_wheel(index, "core", "2.0")
    assert ask("core") == first
    assert names(ask("core", refresh=True).runtime) == ["core-2.0-py3-none-any"]
    wheels.wheel_path(ask.store, ask("core").runtime[0]).unlink()
    assert names(ask("core").runtime) == ["core-2.0-py3-none-any"]


def test_the_texts_of_all_files_of_requirements_count(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r more.txt\n  --constraint=limits.txt\n# -r not.txt\n")
    (tmp_path / "more.txt").write_text("core\n-r requirements.txt\n")
    (tmp_path / "limits.txt").write_text("core<9\n")
    question = Question((), (), tmp_path / "requirements.txt", Target(AMD, HERE))
    assert wheels.requirements_text(question)[1:] == ["core\n-r requirements.txt\n", "core<9\n"]


def test_no_wheel_for_the_platform_says_how_to_get_one(index: Path, ask: Asking) -> None:
    write_wheel(index, "fast", tag=f"{CP}-{CP}-manylinux_2_17_x86_64")
    with pytest.raises(ImageError, match=f"linux/arm64, Python {HERE}.*No matching distribution") as caught:
        ask("fast", platform=ARM)
    assert "pip wheel fast -w DIR" in str(caught.value.hint)


def test_requirements_that_cannot_be_kept_are_refused(index: Path, ask: Asking) -> None:
    with pytest.raises(ImageError, match="asks for hashes") as caught:
        ask(requirements=f"core==1.0 --hash=sha256:{'0' * 64}\n")
    assert "remove --hash" in str(caught.value.hint)
    with pytest.raises(ImageError, match=r"cannot read .*gone\.txt"):
        ask(requirements="-r gone.txt\n")


def test_nothing_asked_is_nothing_brought(index: Path, ask: Asking) -> None:
    assert ask() == Answer((), ())


# -- unpacking


def test_a_wheel_lies_where_python_and_people_look(tmp_path: Path) -> None:
    files = {
        "tool-1.0.data/scripts/run-tool": "#!python\nprint('script')\n",
        "tool-1.0.data/purelib/pure.py": "",
        "tool-1.0.data/platlib/plat.py": "",
        "tool-1.0.data/data/share/tool.txt": "data",
        "tool-1.0.data/headers/tool.h": "",
        "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool:Main.start\n[x]\nx = y:z\n",
        "tool/__init__.py": "class Main:\n    @staticmethod\n    def start(): print('started')\n",
    }
    target = tmp_path / "target"
    unpack.unpack(write_wheel(tmp_path, "tool", files=files), target)
    found = {str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()}
    assert found == {
        *("bin/run-tool", "bin/tool", "pure.py", "plat.py", "share/tool.txt", "tool/__init__.py"),
        *(f"tool-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")),
    }
    for program, expected in (("run-tool", "script\n"), ("tool", "started\n")):
        place = target / "bin" / program
        assert place.read_text().startswith("#!/usr/bin/env python\n")
        assert place.stat().st_mode & 0o111
        command = [sys.executable, str(place)]
        environment = {"PYTHONPATH": str(target)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == expected


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "tool-1.0.data/scripts/../../evil"])
def test_a_wheel_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    wheel = write_wheel(tmp_path, "tool", files={name: ""})
    with pytest.raises(ImageError, match="outside its folder"):
        unpack.unpack(wheel, tmp_path / "deep" / "target")
    assert not list(tmp_path.rglob("evil*"))
