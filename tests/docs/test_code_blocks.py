"""Every code block of README and docs is run or read by the real parser, or says why not.

Python blocks run in order in one folder and one namespace a page, after that page's shell blocks
above them; shell blocks as `tests.docs.shell` says; YAML blocks are read as settings or sweeps. The
folder holds what the pages start from: small data, a bank, runs of two steps. A block that cannot
be run has a line ``<!-- not run: REASON -->`` before it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import yaml

from gzsl_dist import prepare, synthesize, train
from gzsl_dist.config import Config
from gzsl_dist.data.digits import digits_dataset
from gzsl_dist.errors import InputError
from gzsl_dist.sweeps.plan import SweepFile, read_sweep

from .blocks import Block, blocks_of
from .given import names_of
from .shell import ROOT, UnknownCommandError, check, commands_of

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "extend.md")  # of files: `test_extend.py`
PAIRS = (
    ("FEATURES.mat", "SPLITS.mat"),
    ("CUB/vgg_fc7.mat", "CUB/sent_splits.mat"),
)
RUNS = (
    "cub_cpu", "cub_wgan", "sweeps/cub_sent/cub_sent-iapc-0", "sweeps/cub_sent/cub_sent-ce_gzsl-0",
)  # fmt: skip
SMALL = {
    "train.steps": 2, "train.batch_size": 32, "evaluation.rows_per_class": 5,
    "evaluation.iterations": 3, "model.generator_hidden": 16, "model.critic_hidden": 16,
    "model.embedding_dim": 16, "model.projection_dim": 8, "model.comparator_hidden": 8,
    "model.prototype_hidden": 8,
}  # fmt: skip
WIDTHS = {name: value for name, value in SMALL.items() if name.startswith("model.")}
SHORTER = {"steps=400": f"steps=2, batch_size=16, settings={WIDTHS}"}
"""What makes a Python block cheap, and its shorter form."""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages name: the digits under the names of their examples."""
    folder = tmp_path_factory.mktemp("docs")
    digits = digits_dataset()
    names = ["Cardinal" if n == digits.unseen_classes[0] else c for n, c in enumerate("0123456789")]
    for features, splits in PAIRS:
        (folder / features).parent.mkdir(exist_ok=True)
        scipy.io.savemat(
            folder / features,
            {"features": digits.features[:].T, "labels": digits.labels[:, None] + 1},
        )
        locations = {f"{name}_loc": rows[:, None] + 1 for name, rows in digits.splits.items()}
        scipy.io.savemat(
            folder / splits,
            {
                "att": digits.semantics.T,
                "allclasses_names": np.array(names, dtype=object)[:, None],
                **locations,
            },
        )
    assert prepare.main([*(str(folder / name) for name in PAIRS[0]), str(folder / "mine.h5")]) == 0
    np.save(folder / "X.npy", digits.features[:20])
    labels = [names[label] for label in digits.labels[:20]]
    table = ["id,label", *(f"{row},{label}" for row, label in enumerate(labels))]
    (folder / "rows.csv").write_text("\n".join(table))
    values = ",".join(map(str, digits.semantics[0] + digits.semantics[1]))
    (folder / "new.csv").write_text(f"new,{values}\n")
    options = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    mine = str(folder / "runs" / "mine")
    given = ["--data.path", str(folder / "mine.h5"), "--run.dir", mine, "--quiet"]
    assert train.main([*options, *given]) == 0
    (folder / "runs" / "mine" / "search").mkdir()
    shutil.copy(
        folder / "runs" / "mine" / "config.yaml", folder / "runs" / "mine" / "search" / "best.yaml"
    )
    for name in RUNS:
        shutil.copytree(mine, folder / "runs" / name)
    bank = ["--run", mine, "--out", str(folder / "BANK.h5"), "--per-class", "300"]
    assert synthesize.main([*bank, "--shards", "2", "--block-rows", "256"]) == 0
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "configs" / "digits.yaml", folder / "FILE")
    return folder


class Page:
    """The folder and the names that a page's blocks share.

    Args:
        name: of its file.
    """

    def __init__(self, name: str) -> None:
        self.names = {"__name__": "docs", **names_of(name)}
        self.sweep: dict[str, Any] = {}

    def check(self, block: Block) -> None:
        """Run a block, or let the real parser read it."""
        if block.language == "python":
            text = block.text
            for long, short in SHORTER.items():
                text = text.replace(long, short)
            exec(compile(text, f"line {block.line}", "exec"), self.names)
        elif block.language == "sh":
            for words in commands_of(block.text):
                check(words)
        elif block.language == "yaml":
            self.check_yaml(yaml.safe_load(block.text))
        else:
            raise UnknownCommandError(f"neither Python, shell nor YAML: {block.language!r}")

    def check_yaml(self, values: dict[str, Any]) -> None:
        """Read it as a sweep, as a part of the page's last sweep, or as settings."""
        path = Path("block.yaml")
        if set(values) <= set(SweepFile.model_fields) and set(values) - set(Config.model_fields):
            self.sweep |= values
            if "points" in values:
                self.sweep.pop("grid", None)
            path.write_text(yaml.safe_dump(self.sweep))
            assert read_sweep(path)
        else:
            path.write_text(yaml.safe_dump(values))
            check(["python", "-m", "gzsl_dist.train", "--config", str(path)])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_runs_or_says_why_not(
    path: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    page = Page(path.name)
    for block in blocks_of(path.read_text()):
        if block.reason is None:
            try:
                page.check(block)
            except Exception as error:
                raise AssertionError(f"{path.name}, line {block.line}: {error!r}") from error


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nrm -r runs\n```",
        "    pip install something",
        "    python -m gzsl_dist.train --train.step 3",
        "    python -m gzsl_dist.verify --train.steps none",
        "    python -m gzsl_dist.sweep run configs/sweeps/no.yaml",
        "    python -m gzsl_dist.sweep run configs/sweeps/digits.yaml --job 2",
        "    python benchmarks/step.py --batches 3",
        "    python -m gzsl_dist.predict --run runs/no --features X.npy --out p.csv",
        "    torchrun --nproc 2 -m gzsl_dist.train --no",
        "    sbatch --gpu 3 cluster/train_cub.sbatch",
        "    sbatch cluster/train_cub.sbatch --train.seed x",
        "```python\nundefined\n```",
        "```yaml\ntrain: {step: 3}\n```",
        "    seeds: [0]\n    methods: [none]",
        "```\nno language\n```",
    ],
)
def test_a_wrong_block_is_found(
    text: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(prepared / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_of(text)
    with pytest.raises((AssertionError, NameError, InputError)):
        Page("page.md").check(block)


def test_blocks_and_marks() -> None:
    page = (
        "# Page\n\n    python a\n\n    import b\n    b()\n\nText\n\n<!-- not run: a server -->\n\n"
        "    tensorboard\n\n- item\n\n  ```bash\n  c\n  ```\n\n    data:\n      d: 1\n"
    )
    assert blocks_of(page) == [
        Block(3, "sh", "python a"),
        Block(5, "python", "import b\nb()"),
        Block(12, "sh", "tensorboard", "a server"),
        Block(16, "sh", "c"),
        Block(20, "yaml", "data:\n  d: 1"),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "<!-- not run: -->\n\n    a\n",
        "<!-- not run: why -->\n\ntext\n\n    a\n",
        "<!-- not run: why -->\n<!-- not run: why -->\n\n    a\n",
        "text\n\n<!-- not run: why -->\n",
        "```sh\na\n",
    ],
)
def test_a_mark_needs_a_reason_and_a_block(page: str) -> None:
    with pytest.raises(ValueError, match=r"mark|fence"):
        blocks_of(page)


@pytest.mark.parametrize(("page", "bank"), [("README.md", "bank.h5"), ("docs/bank.md", "BANK.h5")])
def test_the_example_of_plain_h5py_refuses_a_bank_without_its_shards(
    page: str, bank: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 reads NaN and -1 in their place, and -1 names the last class."""
    shutil.copy(prepared / "BANK.h5", tmp_path / bank)
    monkeypatch.chdir(tmp_path)
    (example,) = [
        block
        for block in blocks_of((ROOT / page).read_text())
        if block.text.startswith("import h5py")
    ]
    with pytest.raises(FileNotFoundError, match="not beside"):
        Page(page).check(example)
