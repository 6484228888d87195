"""Links in README and docs lead somewhere, and the commands in them know their options."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@cache
def help_of(arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Files of the repository in code marks, such as `tests/distributed/test_gradients.py`."""
    pattern = r"`((?:tests|configs|docs|launch|cluster|benchmarks|gzsl_dist)/[\w./*{}-]+)`"
    for name in re.findall(pattern, page.read_text()):
        assert list(ROOT.glob(re.sub(r"\{[^}]*\}|\*", "*", name))), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_know_their_options(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ").replace("\\|", "|")
    for command in re.findall(r"(?:-m gzsl_dist\.|python benchmarks/)[^`\n]*", text):
        words = command.split("   #")[0].replace("[", " ").replace("]", " ").split()
        if command.startswith("python"):
            program: tuple[str, ...] = (words[1],)
            words = words[2:]
        else:
            program = ("-m", words[1])
            words = words[2:]
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            if option != "--section.key":
                assert option in help_of(program), f"{' '.join(program)} {option}"
