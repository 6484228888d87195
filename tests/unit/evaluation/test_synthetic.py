"""Synthetic rows of the classifier are those that a bank of the same run holds."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.draws import Stream, normals
from gzsl_dist.data.problem import Rows, final_problem
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.classifier_space import ClassifierSpace, classifier_input
from gzsl_dist.evaluation.synthetic import SpilledRows, synthetic_rows
from gzsl_dist.training.trainer import networks_for

ALONE = DistributedContext(0, 1, torch.device("cpu"), quiet=True)


def test_noise_is_by_the_data_sets_number_of_a_class() -> None:
    config = Config.model_validate({"evaluation": {"rows_per_class": 5, "in_memory": "true"}})
    problem = final_problem(digits_dataset(), config)
    networks = networks_for(problem, config)
    with torch.no_grad(), synthetic_rows(networks, problem, config, ALONE) as rows:
        assert isinstance(rows, Rows)
        differing = 0
        for own in range(problem.seen_count, len(problem.classes)):
            number = int(problem.classes[own])
            differing += number != own
            noise = normals(
                config.train.seed, Stream.BANK, number, slice(0, 5), config.model.noise_dim
            )
            expected = networks.generator(noise, problem.semantics[own].expand(5, -1))
            torch.testing.assert_close(rows.features[rows.labels == own], expected)
        assert differing


@pytest.mark.parametrize("space", ["h", "u", "x", "xh"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_rows_in_a_file_are_those_in_memory(
    space: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, read twice, and nothing is left."""
    monkeypatch.setattr("gzsl_dist.evaluation.synthetic.BLOCK_ROWS", 500)
    values = {
        "run": {"dir": str(tmp_path)},
        "train": {"precision": precision},
        "evaluation": {"rows_per_class": 400, "in_memory": "true", "space": space},
    }
    config = Config.model_validate(values)
    problem = final_problem(digits_dataset(), config)
    networks = networks_for(problem, config)
    with synthetic_rows(networks, problem, config, ALONE) as rows:
        assert isinstance(rows, Rows)
    values["evaluation"] |= {"in_memory": "false"}
    with synthetic_rows(networks, problem, Config.model_validate(values), ALONE) as spilled:
        assert isinstance(spilled, SpilledRows)
        for _ in range(2):
            blocks = list(spilled)
            assert len(blocks) == 3
            inputs = torch.cat([inputs for inputs, _ in blocks])
            per_class = [rows.features[rows.labels == number] for number in rows.labels.unique()]
            wanted = ClassifierSpace(space, False)
            expected = [classifier_input(networks, part, wanted) for part in per_class]
            assert torch.equal(inputs, torch.cat(expected))
            assert torch.equal(torch.cat([labels for _, labels in blocks]), rows.labels)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gzsl_dist.evaluation.synthetic.TemporaryFile", full)
    values = {"run": {"dir": str(tmp_path)}, "evaluation": {"in_memory": "false"}}
    config = Config.model_validate(values)
    problem = final_problem(digits_dataset(), config)
    wanted = synthetic_rows(networks_for(problem, config), problem, config, ALONE)
    with pytest.raises(InputError, match=r"No space left on device.*rows_per_class"), wanted:
        pass
