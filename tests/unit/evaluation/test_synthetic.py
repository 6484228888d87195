"""Synthetic rows of the classifier are those that a bank of the same run holds."""

from __future__ import annotations

import torch

from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.draws import Stream, normals
from gzsl_dist.data.problem import Rows, final_problem
from gzsl_dist.distributed.processes import Processes
from gzsl_dist.evaluation.synthetic import synthetic_rows
from gzsl_dist.training.trainer import networks_for

ALONE = Processes(0, 1, torch.device("cpu"), quiet=True)


def test_noise_is_by_the_data_sets_number_of_a_class() -> None:
    config = Config.model_validate({"evaluation": {"rows_per_class": 5, "in_memory": "true"}})
    problem = final_problem(digits_dataset(), config.data)
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
