"""One Slurm for all tests of this folder, and the ways they use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import ROOT
from .cluster import Cluster, cluster, missing_programs

# Two nodes of one host meet on the loopback device; one thread a process, as in the other tests.
VARIABLES = {"GZSL_VENV": sys.prefix, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running Slurm; needed in CI, else skipped where its programs are missing."""
    missing = missing_programs()
    if missing:
        message = f"no {missing[0]}: the tests on a real Slurm need slurm-wlm and munge"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has after git clone: tracked files, and new ones that git does not ignore."""
    target = tmp_path_factory.mktemp("user") / "a clone"  # a space, as users have
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture
def user(slurm: Cluster, clone: Path) -> User:
    """A user of that Slurm with that clone."""
    return User(slurm, clone)


class User:
    """Submits jobs from a clone, and reads what they leave."""

    def __init__(self, slurm: Cluster, clone: Path) -> None:
        self.slurm, self.clone = slurm, clone

    def sbatch(self, *arguments: object, **variables: str) -> str:
        """Submit, and give the job's number."""
        done = self.slurm.sbatch(
            *map(str, arguments), cwd=self.clone, variables=VARIABLES | variables
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def bash(self, script: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run a script of the clone on the login node: exit code, stdout, stderr."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        done = subprocess.run(
            ["bash", script, *arguments], cwd=self.clone, capture_output=True, text=True,
            env=kept | self.slurm.environment | VARIABLES | variables, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def log(self, job: str) -> str:
        """What a job has printed."""
        logs = [*self.clone.glob(f"slurm-*-{job}.out"), *self.clone.glob(f"slurm-*-{job}_*.out")]
        return "".join(log.read_text() for log in logs)


def last_line(log: str) -> str:
    """The last line that is not Slurm's own."""
    return [line for line in log.splitlines() if not line.startswith(("slurmstepd", "srun"))][-1]
