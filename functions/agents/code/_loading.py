"""Finds and imports the class that a Python agent names, and tells where user code failed.

Used by `_user_code.py`. A class comes from the application's `python` folder, then `python/lib`,
then what is installed. The process belongs to one unit, so sys.path and the environment are set for
good. Every failure at this point is a ConfigurationError with the user's file and line.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import ConfigurationError, Position, RecordError, nearest

_SHIM = Path(__file__).parents[2] / "shim"


class UserCodeError(RecordError):
    """User code raised. `at` is the user's line, relative to the application's folder."""

    kind = "INTERNAL_ERROR"

    def __init__(self, error: BaseException, code: Path | None) -> None:
        self.error_class, self.text = type(error).__name__, str(error)
        self.at = user_position(error, code)
        what = f"{self.error_class}: {self.text}" if self.text else self.error_class
        where = f" ({self.at.file}:{self.at.line})" if self.at else ""
        super().__init__(what + where)


def user_position(error: BaseException, code: Path | None) -> Position | None:
    """The innermost line of the application in the error's traceback; before it a line of its `lib`."""
    if code is None:
        return None
    found = None
    for file, line, text in _places(error):
        path = Path(file)
        if not path.is_relative_to(code):
            continue
        relative = path.relative_to(code)
        position = Position(str(relative), line, text=text)
        if relative.parts[:2] != ("python", "lib") or found is None:
            found = position
    return found


def _places(error: BaseException) -> Iterator[tuple[str, int, str]]:
    for frame in traceback.extract_tb(error.__traceback__):
        yield frame.filename, frame.lineno or 1, frame.line or ""
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename, error.lineno or 1, (error.text or "").rstrip()


def open_path(code: Path | None) -> None:
    """Let the application's modules be imported, and `langstream` where it is not installed."""
    if code is not None:
        for folder in (code / "python" / "lib", code / "python"):
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
    if str(_SHIM) not in sys.path:
        sys.path.append(str(_SHIM))


def load_class(class_name: str, code: Path | None, agent: str) -> type:
    """The class of that name, `module.Class`. Raises ConfigurationError."""
    module_name, _, name = class_name.rpartition(".")
    module = _import(module_name, code, agent)
    _refuse_hidden(module, module_name, code, agent)
    found = getattr(module, name, None)
    if isinstance(found, type):
        return found
    classes = [key for key, value in vars(module).items() if isinstance(value, type)]
    guess = nearest(name, classes)
    raise ConfigurationError(
        f"agent '{agent}': the module '{module_name}' has no class '{name}'",
        agent=agent,
        hint=f"did you mean '{module_name}.{guess}'?" if guess else None,
    )


def _import(name: str, code: Path | None, agent: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise _no_module(name, code, agent) from None
        hint = f"list '{missing}' in python/requirements.txt and install it into python/lib"
        raise _cannot_import(name, error, code, agent, hint) from error
    except (Exception, SystemExit) as error:
        raise _cannot_import(name, error, code, agent) from error


def _no_module(name: str, code: Path | None, agent: str) -> ConfigurationError:
    modules = [path.stem for path in (code / "python").glob("*.py")] if code else []
    guess = nearest(name, modules)
    return ConfigurationError(
        f"agent '{agent}': there is no module '{name}' in the application's python folder",
        agent=agent,
        hint=f"did you mean '{guess}'?" if guess else f"add python/{name.replace('.', '/')}.py",
    )


def _cannot_import(
    name: str, error: BaseException, code: Path | None, agent: str, hint: str | None = None
) -> ConfigurationError:
    what = UserCodeError(error, code)
    return ConfigurationError(f"agent '{agent}': importing '{name}' failed: {what}", agent=agent, hint=hint)


def _refuse_hidden(module: Any, name: str, code: Path | None, agent: str) -> None:
    """A module imported earlier (of the standard library, of Tidemill) wins over a file of its name."""
    top = name.partition(".")[0]
    file = code / "python" / f"{top}.py" if code else None
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not file.is_file() or (loaded and Path(loaded) == file):
        return
    raise ConfigurationError(
        f"agent '{agent}': python/{top}.py is hidden by the module '{top}' of Python or a package",
        agent=agent,
        hint=f"rename python/{top}.py and the className",
    )
