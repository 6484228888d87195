"""What a cluster job asks before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gzsl_dist import job


@pytest.mark.parametrize("written", ["'{}'", "{}   # features", '"{}"'])
def test_the_first_configuration_whose_data_are_there_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str
) -> None:
    """However its path is written: with quotes, or with a comment behind it."""
    data, files = tmp_path / "second.h5", []
    for name in ("first", "second"):
        files.append(tmp_path / f"{name}.yaml")
        path = written.format(tmp_path / f"{name}.h5")
        files[-1].write_text(f"method: iapc\ndata:\n  path: {path}\n")
    job.main(["--choose-config", *map(str, files)])
    assert capsys.readouterr().out == f"{files[0]}\n", "none there: the first"
    data.touch()
    job.main(["--choose-config", *map(str, files)])
    assert capsys.readouterr().out == f"{files[1]}\n"
