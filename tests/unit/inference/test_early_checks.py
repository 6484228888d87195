"""Wrong words of a command line end it before torch, an encoder or a model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gzsl_dist import export, extract, predict
from gzsl_dist.errors import InputError
from gzsl_dist.extraction import image_encoders, kinds, text_encoders

PREDICT = ["--run", "no/run", "--images", "no.png", "--out", "x.csv"]
EXTRACT = ["no/images", "--classes", "no.csv", "--out", "no/x.h5"]


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        (extract, [*EXTRACT, "--image-encoder", "tim:vit"], "'tim:vit': give KIND:NAME"),
        (predict, [*PREDICT, "--image-encoder", "timm"], "'timm': give KIND:NAME"),
        (predict, [*PREDICT, "--text-encoder", "bert:x"], "'bert:x': give KIND:NAME"),
        (predict, [*PREDICT, "--add-class", "Okapi"], 'write "NAME: TEXT"'),
        (export, ["--run", "no/run", "--out", "x.onnx", "--add-class", ": shy"], '"NAME: TEXT"'),
        (predict, [*PREDICT, "--montage", "sheet.xyz"], "sheet.xyz: not known by its ending"),
    ],
)  # fmt: skip
def test_it_is_told_first(command: object, arguments: list[str], told: str) -> None:
    """Though neither run nor images are there."""
    with pytest.raises(InputError, match=told):
        command.main(arguments)  # type: ignore[attr-defined]


def test_to_know_them_torch_is_not_imported() -> None:
    code = (
        "import sys, gzsl_dist.extract, gzsl_dist.predict, gzsl_dist.export\n"
        "print([m for m in ('torch', 'PIL', 'h5py', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_kinds_are_those_that_can_be_loaded() -> None:
    assert tuple(image_encoders.KINDS) == kinds.IMAGE_KINDS
    assert tuple(text_encoders.KINDS) == kinds.TEXT_KINDS
