"""What a registered loss computes with its settings, and how others are found."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from gzsl_dist.config import tree
from gzsl_dist.errors import InputError
from gzsl_dist.losses import (
    EmbeddingLoss,
    comparator_loss,
    instance_loss,
    margin_softmax_loss,
    prototype_loss,
    registry,
    robust_loss,
    supcon_loss,
)
from gzsl_dist.losses.comparator import ComparatorLoss
from gzsl_dist.losses.instance import InstanceLoss
from gzsl_dist.losses.prototype import PrototypeLoss
from gzsl_dist.training.embedding_losses import _scalar

from .problems import unit_vectors

ROWS, PROTOTYPES = unit_vectors(6, 3, 0), unit_vectors(4, 3, 1)
LABELS = torch.tensor([0, 1, 1, 2, 2, 2])
MARGIN = {"margin": 0.3, "scale": 7.0}


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_prototype_loss_is_the_function_of_its_form(adaptive: bool) -> None:
    anchors = PrototypeLoss(adaptive=adaptive, **MARGIN)
    part = {"classes": slice(1, 3), "class_count": 4}
    inputs = ROWS, LABELS, PROTOTYPES[1:3]
    assert anchors.by_class
    assert anchors(*inputs, **part) == prototype_loss(*inputs, **MARGIN, adaptive=adaptive, **part)
    softmax = PrototypeLoss(form="softmax", adaptive=adaptive, **MARGIN)
    inputs = ROWS[:2], LABELS[:2], PROTOTYPES
    assert not softmax.by_class
    assert softmax(*inputs, total=6) == margin_softmax_loss(*inputs, **MARGIN, total=6)


@pytest.mark.parametrize(
    ("form", "function", "settings"),
    [
        ("adaptive", instance_loss, MARGIN | {"adaptive": True}),
        ("fixed", instance_loss, MARGIN | {"adaptive": False}),
        ("supcon", supcon_loss, {"temperature": 0.2}),
        ("robust", robust_loss, {"margin": 0.3, "radius": 0.5}),
    ],
)
def test_the_instance_loss_is_the_function_of_its_form(
    form: Any, function: Any, settings: dict[str, Any]
) -> None:
    loss = InstanceLoss(form=form, temperature=0.2, radius=0.5, **MARGIN)
    anchors = slice(2, 5)
    assert loss(ROWS, LABELS, anchors=anchors) == function(
        ROWS, LABELS, **settings, anchors=anchors
    )


def test_the_comparator_loss_has_its_temperature() -> None:
    scores = ROWS @ PROTOTYPES.T
    expected = comparator_loss(scores, LABELS, temperature=0.3, total=9)
    assert ComparatorLoss(temperature=0.3)(scores, LABELS, total=9) == expected


class Mine(EmbeddingLoss):
    name = "mine"
    compares = "rows"


class Taken(Mine):
    name = "instance"


class Nothing(Mine):
    compares = "nothing"


def entries(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Let packages with these entry points be installed."""
    found = [EntryPoint("x", value, registry.GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_an_entry_point_adds_a_loss_after_those_that_are_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries(monkeypatch, f"{__name__}:Mine")
    found, broken = registry.find_losses(())
    assert list(found) == ["prototype", "instance", "comparator", "mine"]
    assert (found["mine"], broken) == (Mine, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nothing_such:Loss", "No module named 'nothing_such'"),
        (f"{__name__}:Missing", "no attribute 'Missing'"),
        (f"{__name__}:Taken", "the name instance is taken"),
        (f"{__name__}:Nothing", "compares one of prototypes, rows, classes"),
        ("pathlib:Path", "is no EmbeddingLoss"),
        (__name__, "issubclass"),
    ],
)
def test_one_that_cannot_be_used_is_one_line(
    value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries(monkeypatch, value)
    found, broken = registry.find_losses(())
    assert list(found) == ["prototype", "instance", "comparator"]
    monkeypatch.setattr(tree, "BROKEN", broken)
    with pytest.raises(InputError, match=reason) as caught:
        tree.Config()
    assert str(caught.value).startswith(f"loss {value}: cannot be used")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n", "{file}, line 1: cannot be used (invalid syntax"),
        (
            "\nimport nothing_such\n",
            "{file}, line 2: cannot be used (No module named 'nothing_such'",
        ),
        (
            "from gzsl_dist.losses.registry import EmbeddingLoss\n"
            "class Mine(EmbeddingLoss):\n    name, compares = 'instance', 'rows'\n",
            "{file}: the name instance is taken; give it another",
        ),
    ],
)
def test_a_file_among_the_losses_that_cannot_be_used_is_one_line(
    text: str, told: str, tmp_path: Path
) -> None:
    """And none replaces one that is there; in a process of its own, since imports stay."""
    file = tmp_path / "a_loss.py"
    file.write_text(text)
    script = (
        "import sys, gzsl_dist.losses as losses; losses.__path__.append(sys.argv[1]); "
        "from gzsl_dist.command import run_command; from gzsl_dist.train import main; "
        "run_command(main, ['--print-config'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: loss {told.format(file=file)}")
    assert done.stderr.count("\n") == 1


def test_a_loss_that_is_no_scalar_is_named() -> None:
    with pytest.raises(InputError, match=r"loss instance: gives a tensor of shape \(2,\)"):
        _scalar("instance", torch.ones(2))
    assert _scalar("instance", torch.ones(())) == 1
