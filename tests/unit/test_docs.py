"""Links in README and docs lead somewhere, and the commands in them know their options."""

from __future__ import annotations

import ast
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


AVOIDED = re.compile(r"\b(goes? on|going on|told|tells?|raw [USH]|taken for|keeps? apart)\b")
"""Reported or printed, resumes, uncalibrated, predicted as, separability: one word for each."""
TEXTS = ("*.md", "docs/*.md", "cluster/*", "launch/*", "configs/**/*.yaml", "gzsl_dist/**/*.html")


def test_the_words_of_the_field_are_used() -> None:
    """In pages, scripts, and what the package prints: its strings but docstrings."""
    texts = {path: path.read_text() for pattern in TEXTS for path in ROOT.glob(pattern)}
    for path in ROOT.glob("gzsl_dist/**/*.py"):
        tree = ast.parse(path.read_text())
        documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        if path.parent.name == "gzsl_dist":  # a command prints its own
            documented.discard(tree.body[0].value)  # type: ignore[attr-defined]
        texts[path] = "\n".join(
            str(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node not in documented
        )
    found = [
        f"{path}: {AVOIDED.search(text)}" for path, text in texts.items() if AVOIDED.search(text)
    ]
    assert not found, "\n".join(found)
