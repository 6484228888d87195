"""A bank is used only for the data set, generator and scaling that it was made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gzsl_dist.bank.generate import BlockMaker
from gzsl_dist.bank.layout import BankInfo
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.bank_rows import bank_rows, bank_weights, check_fits
from gzsl_dist.models.fingerprint import fingerprint
from gzsl_dist.models.networks import Networks
from gzsl_dist.training.trainer import networks_for
from tests.unit.bank.banks import ALONE, bank_info, row_values

OURS = "d" * 64


@pytest.fixture(scope="module")
def problem() -> Problem:
    return final_problem(digits_dataset(), Config())


@pytest.fixture(scope="module")
def networks(problem: Problem) -> Networks:
    small = {"generator_hidden": 4, "critic_hidden": 4, "embedding_dim": 4, "projection_dim": 4}
    return networks_for(problem, Config.model_validate({"model": small}))


def bank(folder: Path, problem: Problem, networks: Networks, **changes: Any) -> BankReader:
    names = digits_dataset().classes
    fitting = replace(
        bank_info(counts=(10, 40, 20), labels=(4, 5, 6), embeddings=0, width=64),
        classes=names,
        semantics=np.zeros((len(names), 2), np.float32),
        generator_fingerprint=fingerprint(networks.generator),
        scaling=problem.scaling,
    )
    info: BankInfo = replace(fitting, **changes)
    write_bank(
        folder / "bank.h5", info, lambda rows: {"features": row_values(rows, info.width)}, ALONE
    )
    return BankReader(folder / "bank.h5")


def test_what_was_made_for_the_run_fits(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    check_fits(bank(tmp_path, problem, networks), problem, networks, OURS, force=False)


def test_another_data_set_generator_or_scaling_is_refused_unless_forced(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    ours = fingerprint(networks.generator)
    other_extent = replace(problem.scaling, extent=problem.scaling.extent + 1)
    for number, (changes, words) in enumerate(
        (
            (
                {"dataset_fingerprint": "f" * 64},
                f"for a data set with fingerprint {'f' * 64}.*has {OURS}",
            ),
            (
                {"generator_fingerprint": "a" * 64},
                f"by a generator with fingerprint {'a' * 64}.*has {ours}",
            ),
            ({"scaling": other_extent}, "scaled in another way"),
            ({"scaling": replace(problem.scaling, transform="sqrt")}, "scaled in another way"),
        )
    ):
        reader = bank(tmp_path / str(number), problem, networks, **changes)
        with pytest.raises(InputError, match=rf"{words}.*--force"):
            check_fits(reader, problem, networks, OURS, force=False)
        check_fits(reader, problem, networks, OURS, force=True)


def test_another_width_is_refused_even_if_forced(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    reader = bank(tmp_path, problem, networks, width=5, scaling=bank_info().scaling)
    with pytest.raises(InputError, match="features of 5 values, the run's have 64"):
        check_fits(reader, problem, networks, OURS, force=True)


def test_each_class_of_a_bank_counts_as_rows_per_class(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    weights = bank_weights(bank(tmp_path, problem, networks), problem, 100)
    assert weights.tolist() == [1] * problem.seen_count + [10, 2.5, 5]


def test_rows_per_class_are_counted_once(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    """Counted anew for each class, 20,000 of them took minutes."""
    reader = bank(tmp_path, problem, networks)
    assert reader.class_counts is reader.class_counts


def test_a_bank_in_original_units_is_scaled_for_the_classifier(
    tmp_path: Path, problem: Problem, networks: Networks
) -> None:
    scaling = replace(problem.scaling, minimum=problem.scaling.minimum + 3)
    problem = replace(problem, scaling=scaling)
    names = digits_dataset().classes
    counts, labels = np.full(3, 5), problem.classes[problem.seen_count :]
    found = []
    for units in ("scaled", "original"):
        folder = tmp_path / units
        changes = {"units": units, "scaling": scaling, "counts": counts, "labels": labels}
        reader = bank(folder, problem, networks, semantics=digits_dataset().semantics, **changes)
        path = folder / "made.h5"
        write_bank(path, reader.info, BlockMaker(networks.generator, None, reader.info), ALONE)
        with BankReader(path) as made:
            rows = bank_rows(made, problem, names, networks, "x", ALONE).in_memory()
            found.append((made.read(slice(0, 15)).inputs, rows.features[:]))
    (scaled, same), (original, again) = found
    torch.testing.assert_close(same, scaled)
    torch.testing.assert_close(again, scaled, rtol=1e-5, atol=1e-5)
    restored = torch.from_numpy(scaling.restore(scaled.numpy()))
    torch.testing.assert_close(original, restored, rtol=0, atol=0)
    assert original.min() >= 3
