"""Features on disk are those in memory, row for row, and take no memory."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.batches import BatchSource
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.features import StoredFeatures
from gzsl_dist.data.memory import fits_in_memory
from gzsl_dist.data.problem import ScaledFeatures, selection_problem
from gzsl_dist.data.store import read_dataset, write_dataset
from gzsl_dist.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    write_dataset(path, digits_dataset())
    return path


def stored(path: Path) -> StoredFeatures:
    features = read_dataset(path, "false").features
    assert isinstance(features, StoredFeatures)
    return features


@pytest.mark.parametrize(
    "rows",
    [
        slice(0, 5),
        slice(3, 1797, 7),
        slice(4, 4),
        np.array([9, 2, 2, 1796, 0, 3]),
        np.array([], int),
    ],
    ids=str,
)
def test_rows_are_those_of_the_array(path: Path, rows: slice | np.ndarray) -> None:
    expected = digits_dataset().features[rows]
    found = stored(path)[rows]
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("rows", [np.array([-1]), np.array([3, 1797])])
def test_rows_outside_are_refused(path: Path, rows: np.ndarray) -> None:
    with pytest.raises(IndexError):
        stored(path)[rows]


def test_other_processes_open_the_file_for_themselves(path: Path) -> None:
    features = stored(path)
    first = features[:3]
    assert np.array_equal(pickle.loads(pickle.dumps(features))[:3], first)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, features[:3].tobytes())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == first.tobytes()
    os.waitpid(child, 0)
    assert np.array_equal(features[:3], first)


def descriptors(path: Path) -> int:
    """How often this process has a file open."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own descriptor is closed by now
            count += os.readlink(f"/proc/self/fd/{entry}") == str(path)
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are not listed here")
def test_threads_that_read_first_at_once_share_one_descriptor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, expected = stored(path), digits_dataset().features[:3]
    before, opening, all_open = descriptors(path), os.open, threading.Barrier(8)

    def opened_together(*arguments: Any) -> int:
        descriptor = opening(*arguments)
        all_open.wait(timeout=30)
        return descriptor

    monkeypatch.setattr(os, "open", opened_together)
    with ThreadPoolExecutor(max_workers=8) as threads:
        found = list(threads.map(features.__getitem__, [slice(0, 3)] * 8))
    monkeypatch.undo()
    assert all(np.array_equal(rows, expected) for rows in found)
    assert descriptors(path) == before + 1
    assert np.array_equal(features[:3], expected)
    del features
    assert descriptors(path) == before


def test_batches_are_bit_for_bit_those_in_memory(path: Path) -> None:
    config = Config.model_validate({"data": {"feature_transform": "sqrt"}})
    sources = []
    for in_memory in ("true", "false"):
        problem = selection_problem(read_dataset(path, in_memory), config)
        assert isinstance(problem.train.features, ScaledFeatures) == (in_memory == "false")
        sources.append(
            BatchSource(
                problem.train, batch_size=50, slots=slice(13, 31), noise_dim=4, seed=1,
                device=torch.device("cpu"), dtype=torch.float64,
            )
        )  # fmt: skip
    for draw in range(40):  # beyond the end of the rows
        ours, theirs = (source.batch(draw) for source in sources)
        assert torch.equal(ours.features, theirs.features)
        assert torch.equal(ours.labels, theirs.labels)


def test_fingerprint_is_that_of_the_contents(path: Path) -> None:
    assert read_dataset(path, "false").fingerprint == digits_dataset().fingerprint


def test_small_sets_are_held_in_memory_by_themselves(path: Path) -> None:
    assert isinstance(read_dataset(path, "auto").features, np.ndarray)
    assert fits_in_memory(10_000)
    assert not fits_in_memory(10**15)


def test_a_file_cut_short_while_in_use(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "digits.h5"
    copy.write_bytes(path.read_bytes())
    features = stored(copy)
    os.truncate(copy, features.offset + 100)
    with pytest.raises(InputError, match="was cut short while in use"):
        features[:2]


def test_a_compressed_file_is_told_to_be_prepared_again(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "digits.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        features = file["features"][:]
        del file["features"]
        file.create_dataset("features", data=features, compression="gzip")
    with pytest.raises(InputError, match=r"not in one piece .* --data.in_memory true"):
        read_dataset(copy, "false")
    assert np.array_equal(read_dataset(copy).features, digits_dataset().features)


PEAK = """
import sys
from gzsl_dist.data.load import load_dataset
from gzsl_dist.data.problem import final_problem
from gzsl_dist.data.batches import BatchSource
from gzsl_dist.config import Config
import torch
from gzsl_dist.monitoring.throughput import peak_bytes
before = peak_bytes()
problem = final_problem(load_dataset(sys.argv[1], sys.argv[2]), Config())
source = BatchSource(problem.train, batch_size=64, slots=slice(0, 64), noise_dim=4, seed=0,
                     device=torch.device("cpu"))
for draw in range(200):
    source.batch(draw)
print(peak_bytes() - before)
"""


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """Simulating and drawing from 330 MB of features."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    simulate = "import sys, gzsl_dist.data.simulation, gzsl_dist.data.store\n"
    simulate += "from gzsl_dist.monitoring.throughput import peak_bytes\n"
    simulate += "from gzsl_dist.simulate import main\n"
    simulate += "before = peak_bytes(); main(sys.argv[1:]); print(peak_bytes() - before)"
    rows = ("--like", "awa2", "--rows", "40000")
    written = int(run("-c", simulate, str(tmp_path), *rows).split()[-1])
    assert (tmp_path / "dataset.h5").stat().st_size > 320e6
    assert written < 250e6
    on_disk = int(run("-c", PEAK, str(tmp_path), "false"))
    in_memory = int(run("-c", PEAK, str(tmp_path), "true"))
    assert in_memory > 320e6
    assert on_disk < 150e6
