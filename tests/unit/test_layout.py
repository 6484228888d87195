"""What the layout promises: no circles of files or folders, and `gzsl` names every command."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from gzsl_dist.__main__ import COMMANDS, main
from gzsl_dist.errors import InputError

PACKAGE = Path(__file__).parents[2] / "gzsl_dist"
HELPERS = {"__init__", "command", "errors", "files"}
"""Files at the package's top that are no commands."""


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= inside or {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(known)


def test_no_circle_of_files_or_folders() -> None:
    known = modules()
    files = {name: imports(path, known) - {name} for name, path in known.items()}
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for name, others in files.items():
        of = name.split(".")[1] if "." in name else name
        folders[of] |= {other.split(".")[1] if "." in other else other for other in others} - {of}
    for graph in (files, folders):
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_a_file_at_the_top_is_a_command() -> None:
    top = {path.stem for path in PACKAGE.glob("*.py")} - HELPERS - {"__main__"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    assert top | folders == set(COMMANDS)


def test_gzsl_hands_over_to_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    gzsl = [sys.executable, "-m", "gzsl_dist", "train", "--train.stepz", "3"]
    done = subprocess.run(gzsl, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: command line: unknown option --train.stepz; did you mean --train.steps?\n"
    )
    with pytest.raises(InputError, match="invalid choice: 'trian'"):
        main(["trian"])
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--help"])
    assert ended.value.code == 0
    assert "SWEEP.yaml" in capfd.readouterr().out
