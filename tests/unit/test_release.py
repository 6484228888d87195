"""A wheel and a source distribution: whole, without tests, and with metadata that twine takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gzsl_dist import __version__

pytest.importorskip("build")
ROOT = Path(__file__).parents[2]
PACKAGED = (".py", ".yaml", ".html", ".css", ".typed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both, built from a copy: setuptools writes beside what it builds."""
    source = tmp_path_factory.mktemp("release")
    shutil.copytree(ROOT / "gzsl_dist", source / "gzsl_dist", ignore=lambda *_: ["__pycache__"])
    shutil.copytree(ROOT / "tests" / "unit", source / "tests" / "unit")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = source / "out"
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source],
        check=True, capture_output=True,
    )  # fmt: skip
    return out


def test_both_hold_the_package_and_no_tests(built: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gzsl_dist").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {Path(name).suffix for name in wanted} <= set(PACKAGED), "of a kind no build has met"
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"gzsl_dist-{__version__}.dist-info/METADATA").decode()
        commands = archive.read(f"gzsl_dist-{__version__}.dist-info/entry_points.txt").decode()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert f"\nVersion: {__version__}\n" in metadata
    assert "gzsl = gzsl_dist.__main__:console_script" in commands
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert wanted < inside
    assert not [name for name in inside if name.startswith("tests")]


def test_twine_takes_both(built: Path) -> None:
    pytest.importorskip("twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
