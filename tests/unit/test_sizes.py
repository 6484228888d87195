"""What a `size` sets, and that whatever was given stays."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import add_setting_arguments, config_from_arguments
from gzsl_dist.config.files import to_yaml
from gzsl_dist.config.nested import flat
from gzsl_dist.config.sizes import DataShape, sized
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.data.store import write_dataset
from gzsl_dist.planning.shapes import sized_for_data

CONFIGS = Path(__file__).parents[2] / "configs"
CUB = DataShape(150, 4096, 1024, 7057)


def parse(*arguments: str) -> Config:
    parser = argparse.ArgumentParser()
    add_setting_arguments(parser)
    return config_from_arguments(*parser.parse_known_args(arguments))


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_shipped_configuration_has_a_size(file: Path) -> None:
    assert "size" not in yaml.safe_load(file.read_text())


def test_data_of_ones_own_get_sizes_that_fit() -> None:
    assert parse().size is None
    assert parse("--config", str(CONFIGS / "cub.yaml")).size is None
    assert parse("--data.path", "mine.h5").size == "auto"
    assert parse("--data.path", "mine.h5", "--size", "null").size is None


@pytest.mark.parametrize(
    ("rows", "device", "size"),
    [(7057, "cpu", "small"), (7057, "cuda", "base"), (1000, "cuda", "small")],
)
def test_auto_goes_by_rows_and_device(rows: int, device: str, size: str) -> None:
    shape = DataShape(150, 4096, 1024, rows)
    found = sized(parse("--data.path", "mine.h5"), shape, device)
    assert found == sized(parse("--data.path", "mine.h5", "--size", size), shape, device)
    assert found.size == size


@pytest.mark.parametrize(("size", "file"), [("base", "cub_cpu"), ("published", "cub")])
def test_sizes_are_those_of_the_configurations_they_come_from(size: str, file: str) -> None:
    """At CUB's size; every number that the configuration names."""
    found = sized(Config.model_validate({"size": size}), CUB, "cpu")
    given = flat(yaml.safe_load((CONFIGS / f"{file}.yaml").read_text()))
    for name, value in flat(found.model_dump()).items():
        section = name.split(".")[0]
        if name in given and (section in ("model", "train") or name == "data.semantics_norm"):
            assert value == given[name], name


def test_what_is_given_stays(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("size: small\ntrain: {learning_rate: 1e-4, steps: 30}\n")
    config = parse(
        "--config", str(file), "--model.noise_dim", "16", "--loss.critic.instance", "0.5"
    )
    found = sized(config, CUB, "cpu")
    assert (found.train.learning_rate, found.train.steps) == (1e-4, 30)
    assert (found.model.noise_dim, found.data.semantics_norm) == (16, 4)
    assert found.loss == config.loss
    assert found.run == config.run
    assert found.evaluation.every == 5, "six validations"
    assert sized(Config.model_validate(found.model_dump()), CUB, "cuda") == found, "config.yaml"


def test_without_a_calibration_nothing_is_selected() -> None:
    config = parse("--data.path", "mine.h5", "--evaluation.calibration", "none")
    assert sized(config, CUB, "cpu").evaluation.selection == "fixed"


def test_printed_before_the_data_are_known_it_leaves_out_what_they_decide() -> None:
    config = parse("--data.path", "mine.h5", "--train.steps", "30")
    told = yaml.safe_load(to_yaml(config))
    assert "generator_hidden" not in told["model"]
    assert told["train"]["steps"] == 30
    again = Config.model_validate(told)
    assert sized(again, CUB, "cpu") == sized(config, CUB, "cpu")
    ready = sized(config, CUB, "cpu")
    assert yaml.safe_load(to_yaml(ready)) == ready.model_dump()


def test_sizes_follow_the_data_that_a_search_or_verify_names(tmp_path: Path) -> None:
    write_dataset(tmp_path / "mine.h5", digits_dataset())
    config = parse("--data.path", str(tmp_path / "mine.h5"), "--train.device", "cpu")
    found = sized_for_data(config)
    assert (found.size, found.model.generator_hidden) == ("small", 128)
    assert sized_for_data(found) == found
    assert sized_for_data(parse()) == parse()
