"""`gzsl extract` in this process: sources, class files, splits, and what is recorded."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset, summary
from gzsl_dist.data.problem import selection_problem
from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError
from gzsl_dist.extract import main
from gzsl_dist.extraction.classes import read_classes
from gzsl_dist.extraction.images import ImageEntry, read_image
from gzsl_dist.extraction.part_file import PartFile

from .small import CLASSES, HERE, PER_CLASS, UNSEEN, Pixels, Words, write_problem


def extract(folder: Path, arguments: list[str], name: str = "out") -> Dataset:
    out = folder / f"{name}.h5"
    assert main([*arguments, "--out", str(out)]) == 0
    assert not out.with_name(f"{out.name}.extracting").exists()
    return read_dataset(out)


def test_a_folder_and_words(tmp_path: Path) -> None:
    data = extract(tmp_path, write_problem(tmp_path))
    assert data.features.shape == (len(CLASSES) * PER_CLASS, 6)
    assert data.classes == CLASSES
    assert [CLASSES[n] for n in data.unseen_classes] == list(UNSEEN)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "trainval": 20, "test_seen": 5, "test_unseen": 10, "train": 16, "val": 4,
    }  # fmt: skip
    texts = [f"a photo of a {c}. An animal called {c}, number {n}." for n, c in enumerate(CLASSES)]
    expected = torch.nn.functional.normalize(Words().encode(texts), dim=1)
    np.testing.assert_allclose(data.semantics, expected.detach().numpy(), atol=1e-6)
    record = data.origin["image_encoder"]
    assert record["name"] == f"{HERE}:pixels"
    assert len(record["weights_sha256"]) == 64
    assert record["preprocessing"]["size"] == 16
    assert "torch" in record["versions"]
    assert data.origin["text_encoder"]["template"] == "a photo of a {name}. {description}"
    assert data.origin["split"]["seed"] == 0
    note = selection_problem(data, Config()).note
    assert note == "validation classes of the data set, drawn by seed 0"
    assert "test rows of seen classes: 0.2 of each class drawn by seed 0" in summary(data)


def test_tables_tars_and_workers_give_the_same_rows(tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    folder = extract(tmp_path, arguments)
    images = sorted((tmp_path / "images").rglob("*.png"))
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in images]
    (tmp_path / "rows.csv").write_text("\n".join(["path,label", *rows]))
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in images:
            key, label = f"{path.parent.name}_{path.stem}", str(CLASSES.index(path.parent.name))
            for name, content in ((f"{key}.cls", label.encode()), (f"{key}.png", None)):
                info, content = tarfile.TarInfo(name), content or path.read_bytes()
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    for source in ("rows.csv", "shard.tar"):
        other = extract(
            tmp_path, [str(tmp_path / source), *arguments[1:], "--workers", "2"], source
        )
        assert other.fingerprint == folder.fingerprint


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = (pytest.importorskip(f"pyarrow{name}") for name in ("", ".parquet"))
    arguments = write_problem(tmp_path)
    expected = extract(tmp_path, arguments)
    images = sorted((tmp_path / "images").rglob("*.png"))
    table = {"path": [str(path) for path in images], "label": [path.parent.name for path in images]}
    parquet.write_table(arrow.table(table), tmp_path / "rows.parquet")
    described = [f"An animal called {name}, number {n}." for n, name in enumerate(CLASSES)]
    classes = {"name": list(CLASSES), "description": described}
    parquet.write_table(arrow.table(classes), tmp_path / "classes.parquet")
    arguments[0], arguments[2] = str(tmp_path / "rows.parquet"), str(tmp_path / "classes.parquet")
    assert extract(tmp_path, arguments, "parquet").fingerprint == expected.fingerprint


def test_the_example_lines_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the table of images makes the same data set as the first."""
    arrow, parquet = (pytest.importorskip(f"pyarrow{name}") for name in ("", ".parquet"))
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    lines = re.findall(r"\| `gzsl extract ([^`]*) ENCODERS ([^`]*)` \|", page)
    _, _, _, *options = write_problem(tmp_path)
    images = sorted((tmp_path / "images").rename(tmp_path / "photos").rglob("*.png"))
    rows = [{"path": str(path), "label": path.parent.name} for path in images]
    described = [f"An animal called {name}, number {n}." for n, name in enumerate(CLASSES)]
    classes = [{"name": c, "description": d} for c, d in zip(CLASSES, described, strict=True)]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    for ending, mark in (("csv", ","), ("tsv", "\t")):
        text = "\n".join(mark.join(row.values()) for row in rows)
        (tmp_path / f"rows.{ending}").write_text(f"path{mark}label\n{text}\n")
    for name, table in (("rows", rows), ("classes", classes)):
        parquet.write_table(arrow.Table.from_pylist(table), tmp_path / f"{name}.parquet")
    for number, part in enumerate((images[:9], images[9:])):
        with tarfile.open(tmp_path / f"shard-{number}.tar", "w") as tar:
            for path in part:
                key = f"{path.parent.name}_{path.stem}"
                info = tarfile.TarInfo(f"{key}.cls")
                info.size = len(path.parent.name)
                tar.addfile(info, io.BytesIO(path.parent.name.encode()))
                tar.add(path, f"{key}.png")
    monkeypatch.chdir(tmp_path)
    fingerprints = set()
    for given, out in lines:
        assert main([*given.split(), *options, *out.split(), "--overwrite"]) == 0
        fingerprints.add(read_dataset(tmp_path / "OUT.h5").fingerprint)
    assert (len(lines), len(fingerprints)) == (5, 1)


def test_classes_without_images_are_unseen(tmp_path: Path) -> None:
    arguments = write_problem(tmp_path, imageless=True)
    at = arguments.index("--unseen")
    del arguments[at : at + 2]
    assert main([*arguments, "--out", str(tmp_path / "out.h5")]) == 0
    with h5py.File(tmp_path / "out.h5") as file:
        assert tuple(file["classes"].asstr()[:]) == CLASSES
        assert not len(file["splits/test_unseen"])
        assert len(file["splits/trainval"]) == 20


def test_splits_of_tables(tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    at = arguments.index("--unseen")
    del arguments[at : at + 2]
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    splits = ["split", "seen", "seen", "seen", "val", "seen", "unseen", "unseen"]
    (tmp_path / "classes.csv").write_text(
        "\n".join(f"{line},{split}" for line, split in zip(lines, splits, strict=True))
    )
    images = sorted((tmp_path / "images").rglob("*.png"))
    rows = [
        f"{path},{path.parent.name},{'test' if path.stem < '2' else 'train'}" for path in images
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["path,label,split", *rows]))
    data = extract(tmp_path, [str(tmp_path / "rows.csv"), *arguments[1:]])
    assert len(data.splits["test_seen"]) == 2 * 5
    assert set(data.labels[data.splits["val"]]) == {CLASSES.index("fox")}
    note = selection_problem(data, Config()).note
    assert note == "validation classes of the data set, named by the class file"
    assert data.missing == ()  # nothing was drawn


def test_attributes_and_several_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps([
        {"name": "red-fox", "description": ["A fox.", "It is red."], "legs": 4, "year": 1758},
        {"name": "emu", "description": "A bird.", "legs": 2, "year": 1790},
    ]))  # fmt: skip
    table = read_classes(path, "{name} ({year}): {description}", with_texts=True)
    assert table.texts[0] == ("red fox (1758): A fox.", "red fox (1758): It is red.")
    assert table.attribute_names == ("legs",)
    assert table.attributes is not None
    assert table.attributes.tolist() == [[4.0], [2.0]]
    arguments = write_problem(tmp_path)
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    wings = ["wings", *"1234567"]
    both = [f"{line},{more},3" for line, more in zip(lines, wings, strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join([both[0][:-1] + "tail", *both[1:]]))
    semantics = extract(tmp_path, arguments).semantics
    assert semantics.shape == (len(CLASSES), 8 + 2)
    for part in (semantics[:, :8], semantics[:, 8:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16", "F"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.tif" if mode in ("CMYK", "F", "I;16") else "image.png")
    if mode == "I;16":
        Image.fromarray(np.full((4, 6), 200 * 256, np.uint16)).save(path)
    else:
        Image.new("RGB", (6, 4), (200, 200, 200)).convert(mode, dither=Image.Dither.NONE).save(path)
    found = read_image(ImageEntry("image", str(path)))
    assert (found.mode, found.size) == ("RGB", (6, 4))
    assert abs(found.getpixel((1, 1))[0] - (255 if mode == "1" else 200)) < 60  # type: ignore[index]


def test_transparent_is_white_and_photographs_stand_upright(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    found = read_image(ImageEntry("a", str(tmp_path / "a.png")))
    assert found.getpixel((0, 0)) == (255, 255, 255)
    turned = Image.new("RGB", (8, 4))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert read_image(ImageEntry("b", str(tmp_path / "b.jpg"))).size == (4, 8)


def test_rows_do_not_depend_on_bad_neighbours_or_batches(tmp_path: Path) -> None:
    """Also that the function recorded is the one that ran."""
    data = extract(tmp_path, write_problem(tmp_path))
    from gzsl_dist.extraction.preprocessing import Preprocessing

    image = read_image(ImageEntry("x", str(tmp_path / "images" / "cat" / "3.png")))
    expected = Pixels()(Preprocessing(16)(image)[None])
    np.testing.assert_allclose(data.features[3:4], expected.detach().numpy(), rtol=1e-5)


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    """The newer attempt of a batch counts, whichever process made it."""
    rows = np.ones((2, 3), dtype=np.float32)
    first = PartFile(tmp_path, "images", 4, 2)
    first.write(0, rows, {1: "truncated"}, rank=1)
    first.write(1, rows, {}, rank=1)
    again = PartFile(tmp_path, "images", 4, 2)
    again.read_journals()
    assert (again.done, again.bad) == ({0, 1}, {1: "truncated"})
    again = PartFile(tmp_path, "images", 4, 2)
    assert again.prune(overwrite=False) == 0
    again.read_journals()
    assert (again.done, again.bad) == ({1}, {})
    again.write(0, rows, {}, rank=0)
    for _ in range(2):
        end = PartFile(tmp_path, "images", 4, 2)
        end.read_journals()
        assert (end.done, end.bad) == ({0, 1}, {})


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_recorded_and_near(precision: str, tmp_path: Path) -> None:
    arguments = write_problem(tmp_path)
    exact = extract(tmp_path, arguments)
    found = extract(tmp_path, [*arguments, "--precision", precision], precision)
    assert found.origin["image_encoder"]["precision"] == precision
    assert found.features.dtype == np.float32
    assert not np.array_equal(found.features, exact.features)
    np.testing.assert_allclose(found.features, exact.features, atol=0.1)


def test_what_an_object_lacks_is_not_none_in_a_text(tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    rows = [{"name": "cat", "home": "a house"}, {"name": "yak"}]
    file.write_text(json.dumps(rows))
    with pytest.raises(InputError, match="class 'yak' has no 'home', which the template has"):
        read_classes(file, "a {name} of {home}", with_texts=True)
