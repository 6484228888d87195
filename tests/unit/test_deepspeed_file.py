"""`train.zero_stage` and the DeepSpeed file in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gzsl_dist.config import TrainSettings
from gzsl_dist.config.deepspeed_file import deepspeed_options
from gzsl_dist.config.files import read_yaml
from gzsl_dist.errors import InputError

SHIPPED = Path(__file__).parents[2] / "configs" / "deepspeed"


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_stage_needs_no_file_and_is_what_the_shipped_one_says(
    stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = read_yaml(SHIPPED / f"zero{stage}.yaml")["zero_optimization"]
    monkeypatch.chdir(tmp_path)  # not in the clone
    options, _ = deepspeed_options(TrainSettings(zero_stage=stage))
    assert shipped.items() <= options["zero_optimization"].items()


@pytest.mark.parametrize("name", ["zero.json", "zero.conf"])
def test_json_is_read_as_json(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{\n\t"zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8}\n}')
    options, _ = deepspeed_options(TrainSettings(zero_stage=1, deepspeed_config=str(file)))
    assert options == {"zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "a is given twice"),
    ],
)
def test_an_error_names_the_setting_and_not_config(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "zero.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        deepspeed_options(TrainSettings(deepspeed_config=str(file)))
    assert str(caught.value).startswith(f"train.deepspeed_config {file}: ")
    assert "--config" not in str(caught.value)
