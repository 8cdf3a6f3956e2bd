"""The `tidemill` command: finds the command, runs it, turns an error into words and a status.

Commands are registered as strings and imported when called, so that none pays for another. stdout
holds the result and nothing else. A new command is one line in COMMANDS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import __version__

if TYPE_CHECKING:
    from cyclopts import App

# name -> (import path, what `tidemill --help` says of it)
COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("tidemill.cli.plan:plan", "Show what an application becomes, and what each platform promises."),
    "run": ("tidemill.cli.run:run", "Run an application on this machine, with an embedded broker."),
    "gateway": ("tidemill.cli.gateway:app", "List and use an application's gateways."),
    "verify": ("tidemill.cli.verify:verify", "Compare two topics per key: gaps, doubles, disorder."),
    "app": ("tidemill.cli.app:app", "Deploy applications to Knative, look at them, change them, undo."),
    "image": ("tidemill.cli.image:app", "Build an application's image and bring it to a registry."),
    "model": ("tidemill.cli.model:app", "Fetch and look after the embedded models."),
    "agent": ("tidemill.cli.agent:app", "List the agent types, and describe one."),
}

LANGSTREAM = {"apps": "app"}  # its spelling -> ours


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        print(__version__)
        return 0
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    words[:1] = [LANGSTREAM.get(word, word) for word in words[:1]]
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        sys.stderr.close()
        return 1
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _run(words: list[str]) -> int:
    try:
        result = _application()(words, result_action="return_value")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    return result if isinstance(result, int) else 0


def _application() -> App:
    from cyclopts import App

    app = App(
        name="tidemill",
        help="Event pipelines of AI agents as functions that scale to zero.",
        version=__version__,
        error_formatter=lambda error: f"error: {error}",
        help_epilogue="--debug shows the traceback of an error.",
    )
    for name, (path, summary) in COMMANDS.items():
        app.command(path, name=name, help=summary)
    return app


def _explain(error: Exception) -> int:
    from ..errors import TidemillError
    from .problems import words

    if isinstance(error, TidemillError):
        print(words(error), file=sys.stderr)
        return error.status
    print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    print("  try: the same command with --debug, and report what it shows", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
