"""Settings: presets, overrides, and one-line errors that name the nearest setting."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from gzsl_dist.config import Config
from gzsl_dist.config.command_line import (
    add_setting_arguments,
    config_from_arguments,
    setting_fields,
)
from gzsl_dist.config.files import read_yaml, to_yaml
from gzsl_dist.config.nested import flat
from gzsl_dist.config.presets import PRESETS
from gzsl_dist.errors import InputError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
CONFIGS = [path for path in CONFIGS if path.parent.name not in ("deepspeed", "sweeps", "studies")]


def parse(*arguments: str) -> Config:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_setting_arguments(parser)
    return config_from_arguments(*parser.parse_known_args(arguments))


@pytest.mark.parametrize("method", PRESETS)
def test_a_resolved_configuration_is_complete_and_repeats_itself(method: str) -> None:
    config = parse("--method", method)
    resolved = yaml.safe_load(to_yaml(config))
    # all methods have the same knobs, so that a search can treat them alike
    assert None not in flat(resolved["loss"]).values()
    assert resolved["evaluation"]["space"] is not None
    assert Config.model_validate(resolved) == config


def test_presets_list_only_weights_above_0() -> None:
    """A loss that no preset names is no part of any method."""
    assert {"iapc", "ce_gzsl", "wgan", "proxy_anchor", "supcon"} < set(PRESETS)
    for preset in PRESETS.values():
        weights = flat({side: preset["loss"][side] for side in ("critic", "generator")})
        assert all(weight > 0 for weight in weights.values())


def test_methods_differ_as_their_names_say() -> None:
    weights = parse("--method", "supcon").loss
    assert (weights.critic.prototype, weights.critic.comparator) == (0, 0)
    assert (weights.critic.instance, weights.generator.instance) == (1, 1)
    assert weights.instance.form == "supcon"
    assert not parse("--method", "wgan").loss.critic.active()
    assert parse("--method", "wgan").evaluation.space == "x"
    assert parse("--method", "ce_gzsl").loss.instance.form == "supcon"
    assert parse("--method", "ce_gzsl").loss.critic.prototype == 0
    assert parse("--method", "proxy_anchor").loss.prototype.adaptive is False
    assert parse().loss.prototype.adaptive is True
    assert parse().loss.instance.form == "adaptive"


def test_command_line_wins_over_file_wins_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {steps: 7, batch_size: 9}\nloss: {generator: {instance: 0.25}}\n")
    config = parse("--config", str(file), "--train.steps", "8")
    assert (config.train.steps, config.train.batch_size) == (8, 9)
    assert config.loss.generator.instance == 0.25
    assert config.loss.generator.prototype == PRESETS["iapc"]["loss"]["generator"]["prototype"]
    assert str(config.run_dir) == "runs/mine"


def test_null_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: {semantics_norm: 32.0}\nloss: {critic: {instance: 0.5}}\n")
    config = parse(
        "--config", str(file), "--data.semantics_norm", "null", "--loss.critic.instance", "null"
    )
    assert config.data.semantics_norm is None
    assert config.loss.critic.instance == PRESETS["iapc"]["loss"]["critic"]["instance"]


def test_without_a_file_the_embedded_data_set_has_its_own_settings() -> None:
    shipped = Path(__file__).parents[2] / "configs" / "digits.yaml"
    assert parse() == parse("--config", str(shipped))
    assert parse().model.generator_hidden == 256
    assert parse("--data.path", "data/mine.h5").model.generator_hidden == 4096
    assert str(parse("--data.path", "data/mine.h5").run_dir) == "runs/mine"


def test_values_are_typed() -> None:
    config = parse("--train.learning_rate", "1e-3", "--data.semantics_norm=null")
    assert config.train.learning_rate == 1e-3
    assert config.data.semantics_norm is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train.stepz", "3"], r"unknown option --train.stepz; did you mean --train.steps\?"),
        (["--steps", "3"], r"did you mean --train.steps\?"),
        (["--lr", "1e-3"], r"did you mean --train.learning_rate\?"),
        (["--epochs", "3"], r"did you mean --train.steps\?"),
        (["--batch-size", "3"], r"did you mean --train.batch_size\?"),
        (["--seed", "3"], r"did you mean --train.seed\?"),
        (["--output", "x"], r"did you mean --run.dir\?"),
        (["--num-workers", "4"], "unknown option --num-workers; leave it out"),
        (["configs/digits.yaml"], "is given as --config configs/digits.yaml"),
        (["--print_confg"], r"did you mean --print-config\?"),
        (["20"], "'20' belongs to no option"),
        (["--gpus", "2"], "torchrun --nproc_per_node=N -m gzsl_dist.train"),
        (["--train.steps", "-3"], "train.steps = '-3': .*greater than or equal to 1"),
        (["--train.steps", "0"], "train.steps"),
        (["--train.learning_rate", "0"], "train.learning_rate"),
        (["--train.learning_rate", "nan"], "train.learning_rate"),
        (["--train.steps", "many"], "train.steps = 'many'"),
        (["--method", "magic"], "method = 'magic': .*'iapc', 'ce_gzsl', 'wgan'"),
        (["--loss.prototype.margin", "2"], "loss.prototype.margin"),
        (["--method", "wgan", "--evaluation.space", "h"], "evaluation.space is h .*use x"),
        (["--method", "wgan", "--loss.generator.instance", "1"], "loss.critic.instance is 0"),
        (
            ["--loss.negatives", "local", "--loss.prototype.source", "ema"],
            "loss.negatives local and loss.prototype.source ema .*use learned or semantic",
        ),
        (["--evaluation.calibration", "fixed"], "evaluation.calibration_factor go together"),
        (["--evaluation.calibration_factor", "1"], "evaluation.calibration_factor go together"),
        (["--run.dir", "x" * 300], "run.dir.*no file can have such a name"),
        (["--config", "missing.yaml"], "missing.yaml: cannot be read"),
    ],
)
def test_wrong_settings_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {stps: 3}", r"unknown setting train.stps; did you mean train.steps\?"),
        ("trian: {steps: 3}", "unknown setting trian"),
        ("train: 3", "train = 3"),
        ("- a", "must hold lines"),
        ("train: {steps: yes}", "train.steps = True: must be a number"),
        ("data: {semantics_norm: on}", "data.semantics_norm = True: must be a number"),
        ("data: {digits: configs/digits.yaml}\nseeds: [0]", "a sweep, not a .*; gzsl sweep run"),
        ("train: {steps: 3}\nmethod: wgan\ntrain: {batch_size: 4}", "train .* line 1 .* line 3"),
        ("data:\n  path: a.h5\n  path: b.h5", "path is given twice, in line 2 and in line 3"),
        ("train.steps: 3\ntrain: {steps: 4}", "train.steps is given twice"),
        ("a: [", "not YAML"),
        ("run: {dir: 2024-13-45}", "not YAML"),
        ('run: {dir: "a\\0b"}', "no file can have such a name"),
        ("method: [iapc]", "method"),
        ("!!python/object/apply:os.system ['touch pwned']", "not YAML"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        parse("--config", str(file))
    assert "\n" not in str(caught.value)
    assert "wrong.yaml" in str(caught.value)
    assert not Path("pwned").exists()


def test_every_setting_has_a_help_text() -> None:
    assert [name for name, field in setting_fields() if not field.description] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert parse("--config", str(path)).train.steps >= 1


def test_validation_classes_may_choose_a_negative_factor() -> None:
    """Where synthetic rows draw too much, as of a generator without supervision."""
    given = ["--evaluation.calibration", "fixed", "--evaluation.calibration_factor", "-0.07"]
    assert parse(*given).evaluation.calibration_factor == -0.07


@pytest.mark.parametrize("text", ["true", "false", "auto", "'true'"])
def test_a_word_that_yaml_reads_as_a_bool_is_taken(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"data: {{in_memory: {text}}}\nevaluation: {{in_memory: {text}}}\n")
    config = parse("--config", str(file))
    assert config.data.in_memory == config.evaluation.in_memory == text.strip("'")


def test_dotted_names_are_settings_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train.steps: 5\ntrain: {batch_size: 9}\nloss: {generator.instance: 0.25}\n")
    config = parse("--config", str(file))
    assert (config.train.steps, config.train.batch_size) == (5, 9)
    assert config.loss.generator.instance == 0.25


def test_numbers_are_numbers_and_texts_stay_texts(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {learning_rate: 3e-4, steps: 1e3}\nrun: {dir: '5e8'}\n")
    config = parse("--config", str(file))
    assert (config.train.learning_rate, config.train.steps) == (3e-4, 1000)
    file.write_text(to_yaml(config))
    assert parse("--config", str(file)) == config
    assert read_yaml(file)["run"]["dir"] == "5e8"
    assert isinstance(read_yaml(file)["train"]["learning_rate"], float)


def test_a_section_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "few.yaml"
    path.write_text("train:\n  # steps: 3\nloss: {critic: }\nlog.every: 7\n")
    config = parse("--config", str(path), "--train.seed", "1")
    assert (config.log.every, config.train.seed) == (7, 1)
    assert config.loss == Config().loss
