"""Objects as YAML files, for `kubectl apply -f` and GitOps tools.

Called by `cli/app.py`. A folder belongs to whoever put it there: only files that this module wrote for
the same application are replaced or removed. Secrets are never among the objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .objects import Object
from .render import apply_rank

_MARK = "# Written by tidemill for the application"


def write(found: Sequence[Object], application: str, target: Path) -> list[Path]:
    """One file for each object, `<order>-<kind>-<name>.yaml`; what an earlier call left over goes."""
    target.mkdir(parents=True, exist_ok=True)
    mark = f"{_MARK} {application}\n"
    written = [_write(item, target, mark) for item in found]
    for stale in set(target.glob("[0-9][0-9]-*.yaml")) - set(written):
        if stale.read_text().startswith(mark):
            stale.unlink()
    return written


def _write(found: Object, target: Path, mark: str) -> Path:
    """The order is that of the kind, not a count: one more object renames no other's file."""
    path = target / f"{apply_rank(found):02d}-{found['kind'].lower()}-{found['metadata']['name']}.yaml"
    path.write_text(mark + as_yaml(found))
    return path


def as_yaml(value: Any) -> str:
    """YAML that a person reads and a diff follows: fields in their order, texts of many lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return dumped
