"""From images and words to predictions of images, also of classes added by words."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import gzsl_dist
from gzsl_dist import extract, predict, train
from gzsl_dist.data.store import read_dataset
from gzsl_dist.errors import InputError
from gzsl_dist.extraction import recorded
from tests.unit.extraction.small import CLASSES, HERE, write_problem

ENCODER = ("--image-encoder", f"{HERE}:pixels")
SMALL = {
    "train.steps": 4, "train.batch_size": 8, "evaluation.rows_per_class": 5,
    "evaluation.iterations": 5, "evaluation.selection": "fixed", "evaluation.calibration": "none",
    "model.generator_hidden": 16, "model.critic_hidden": 16, "model.embedding_dim": 16,
    "model.projection_dim": 8, "model.comparator_hidden": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animals")
    data = str(folder / "data.h5")
    assert extract.main([*write_problem(folder), "--out", data]) == 0
    settings = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    given = ["--data.path", data, "--run.dir", str(folder / "run"), "--quiet"]
    assert train.main([*settings, *given]) == 0
    return folder


def test_images_are_predicted_as_their_features_are(folder: Path) -> None:
    out, sheet = folder / "out.csv", folder / "sheet.png"
    run = ["--run", str(folder / "run"), "--images", str(folder / "images")]
    assert predict.main([*run, *ENCODER, "--out", str(out), "--montage", str(sheet)]) == 0
    rows = list(csv.DictReader(out.open()))
    model, data = gzsl_dist.load(folder / "run"), read_dataset(folder / "data.h5")
    assert [row["class"] for row in rows] == model.predict(data.features[:]).tolist()
    assert rows[7]["image"].endswith("images/dog/2.png")
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 152
    one = model.predict_images([folder / "images/fox/1.png"], image_encoder=ENCODER[1])
    assert one.tolist() == [rows[16]["class"]]


def test_the_sheet_says_what_is_right(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *args, **_: drawn.append(args[2]))
    out, sheet = folder / "told.csv", folder / "told.png"
    given = ["--run", str(folder / "run"), *ENCODER, "--out", str(out), "--montage", str(sheet)]
    assert predict.main([*given, "--images", str(folder / "images")]) == 0
    rows = list(csv.DictReader(out.open()))
    wrong = [row for row in rows if row["class"] != Path(row["image"]).parent.name]
    expected = [f"wrong: {Path(row['image']).parent.name}" for row in wrong]
    assert [text for text in drawn if text.startswith("wrong")] == expected
    assert drawn.count("right") == len(rows) - len(wrong)
    assert (
        f"told.png: {len(rows) - len(wrong)} right of {len(rows)} images" in capsys.readouterr().out
    )
    drawn.clear()
    (folder / "labels.txt").write_text("dog\n")
    labels = ["--labels", str(folder / "labels.txt"), "--classes", "dog,cat"]
    (folder / "unknown").mkdir()
    Image.new("RGB", (20, 20)).save(folder / "unknown/0.png")
    image = ["--images", str(folder / "unknown/0.png")]
    assert predict.main([*given, *image, *labels]) == 0
    assert drawn[-1] == ("right" if drawn[0] == "dog" else "wrong: dog")
    drawn.clear()
    assert predict.main([*given, *image]) == 0
    assert len(drawn) == 2  # nothing is said of an image of which nothing is known


def test_a_class_is_added_by_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--run", str(folder / "run"), "--images", str(folder / "images/cat/0.png"), *ENCODER]
    words = ["--text-encoder", f"{HERE}:words", "--add-class", "Zebra: a striped horse"]
    out = str(folder / "added.csv")
    assert predict.main([*run, *words, "--out", out, "--top", "9"]) == 0
    row = next(csv.DictReader(Path(out).read_text().splitlines()))
    named = {value for key, value in row.items() if key.startswith("class")}
    assert named == {*CLASSES, "Zebra"}
    (folder / "new.csv").write_text("name,description\nZebra,a striped horse\n")
    words[2:] = ["--add-classes", str(folder / "new.csv")]
    assert predict.main([*run, *words, "--out", str(folder / "file.csv"), "--top", "9"]) == 0
    assert (folder / "file.csv").read_text() == Path(out).read_text()
    header = "name , Description\n"
    (folder / "new.csv").write_text(f"{header}Zebra, a striped horse\n")
    with pytest.raises(InputError, match=r"call the column 'Description' 'description'"):
        predict.main([*run, *words, "--out", str(folder / "file.csv")])
    for ending, text in (
        ("csv", f"{header.lower()}Zebra, a striped horse\n"),
        ("json", '{"Zebra": "a striped horse"}'),
    ):
        (folder / f"new.{ending}").write_text(text)
        words[3] = str(folder / f"new.{ending}")
        assert predict.main([*run, *words, "--out", str(folder / "file.csv"), "--top", "9"]) == 0
        assert (folder / "file.csv").read_text() == Path(out).read_text()
    with pytest.raises(InputError, match='write "NAME: TEXT"'):
        predict.main([*run, "--add-class", "Zebra", "--out", out])


def test_only_the_recorded_encoder_will_do(folder: Path) -> None:
    run = ["--run", str(folder / "run"), "--images", str(folder / "images"), "--out", "x.csv"]
    with pytest.raises(InputError, match="which is code; if it is yours, say so with --image-enc"):
        predict.main(run)
    with pytest.raises(InputError, match=r"its weights \(SHA-256 .*\) are not those of the train"):
        predict.main([*run, "--image-encoder", f"{HERE}:other_pixels"])
    with pytest.raises(InputError, match="prepares images in another way"):
        predict.main([*run, "--image-encoder", f"{HERE}:larger_pixels"])
    with pytest.raises(InputError, match="no such file or folder"):
        predict.main([*run[:2], "--images", "nowhere.png", "--out", "x.csv", *ENCODER])


def test_a_class_file_of_words_is_what_extract_reads(folder: Path) -> None:
    """The added class is encoded as one that was in the class file from the start."""
    from gzsl_dist.extraction.recorded import encode_classes

    data = read_dataset(folder / "data.h5")
    rows = [{"name": "cat", "description": "An animal called cat, number 0."}]
    found = encode_classes(data.origin, rows, "test", f"{HERE}:words")
    np.testing.assert_allclose(found[0], data.semantics[0], atol=1e-6)


def test_a_template_with_further_columns_is_refused(folder: Path) -> None:
    from gzsl_dist.extraction.recorded import encode_classes

    origin = read_dataset(folder / "data.h5").origin
    origin["text_encoder"]["template"] = "a {name} of {habitat}. {description}"
    rows = [{"name": "okapi", "description": "striped"}]
    with pytest.raises(InputError, match=r"\{habitat\} is no column; .* give a \.csv with"):
        encode_classes(origin, rows, "--add-class", f"{HERE}:words")
    with pytest.raises(InputError, match=r"\{habitat\} is no column; .*") as caught:
        encode_classes(origin, rows, "new.csv", f"{HERE}:words")
    assert "give a .csv" not in str(caught.value)  # it is one


def test_labels_of_images_that_are_left_out(folder: Path, tmp_path: Path) -> None:
    """A label for every image that was named, or for every one that can be read."""
    (tmp_path / "bad.png").write_text("words")
    images = [folder / "images/cat/0.png", tmp_path / "bad.png", folder / "images/dog/0.png"]
    run = ["--run", str(folder / "run"), *ENCODER, "--images", *map(str, images), "--skip-bad"]
    found = []
    for labels in ("cat\nemu\ndog\n", "cat\ndog\n"):
        (tmp_path / "labels.txt").write_text(labels)
        given = ["--labels", str(tmp_path / "labels.txt"), "--out", str(tmp_path / "out.csv")]
        assert predict.main([*run, *given]) == 0
        found.append([row["label"] for row in csv.DictReader((tmp_path / "out.csv").open())])
    assert found == [["cat", "dog"]] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--labels", "labels.txt"], "2 lines for 3 rows"),
        (["--classes", "dog,yeti"], "yeti"),
        (["--add-classes", "none.csv"], "none.csv"),
    ],
)
def test_what_is_wrong_beside_is_said_before_images_are_encoded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], said: str
) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    images = [str(image) for image in sorted(folder.glob("images/*/*"))[:3]]
    monkeypatch.setattr(recorded, "encode_images", lambda *_, **__: pytest.fail("encoded"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        predict.main(["--run", str(folder / "run"), "--images", *images, *given, "--out", "o.csv"])
