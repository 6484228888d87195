"""Every kind of encoder, with small random weights in local files: nothing is downloaded.

Also what is loaded runs no code: a pickle that would is refused.
"""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gzsl_dist.errors import InputError
from gzsl_dist.extraction import packages
from gzsl_dist.extraction.encoder import ImageEncoder
from gzsl_dist.extraction.image_encoders import image_encoder
from gzsl_dist.extraction.packages import import_package
from gzsl_dist.extraction.text_encoders import text_encoder

from .small import tiny_clip

CPU = torch.device("cpu")


def features(encoder: ImageEncoder) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    image = encoder.transform(Image.fromarray(drawn))
    json.dumps(encoder.record())
    with torch.no_grad():
        found = encoder.encode(image[None].repeat(2, 1, 1, 1))
    assert found.shape[0] == 2
    assert torch.equal(found[0], found[1]) or torch.allclose(found[0], found[1], atol=1e-5)
    assert found.isfinite().all()
    return found


def test_timm(tmp_path: Path) -> None:
    timm = import_package("timm", "test")
    from safetensors.torch import save_file

    model = timm.create_model("resnet10t", num_classes=3)
    config = {"architecture": "resnet10t", "num_classes": 3, "num_features": 512,
              "pretrained_cfg": {"input_size": [3, 64, 64], "num_classes": 3}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    encoder = image_encoder(f"timm:{tmp_path}", CPU)
    assert features(encoder).shape == (2, 512)
    assert encoder.preprocessing["input_size"] in ([3, 64, 64], (3, 64, 64))


def test_torchvision(tmp_path: Path) -> None:
    models = import_package("torchvision.models", "test")
    torch.save(models.get_model("mobilenet_v3_small", weights=None).state_dict(), tmp_path / "w.pt")
    encoder = image_encoder(f"torchvision:mobilenet_v3_small@{tmp_path / 'w.pt'}", CPU)
    assert features(encoder).shape == (2, 1024)
    with pytest.raises(InputError, match="neither a file nor weights of mobilenet_v3_small"):
        image_encoder("torchvision:mobilenet_v3_small@nothing", CPU)


def test_open_clip(tmp_path: Path) -> None:
    """No weights of a CLIP can be had where this is written: a random one, from a file."""
    name = tiny_clip(tmp_path)
    assert features(image_encoder(name, CPU)).shape == (2, 16)
    with torch.no_grad():
        assert text_encoder(name, CPU).encode(["a cat", "a dog"]).shape == (2, 16)


def test_transformers(tmp_path: Path) -> None:
    transformers = import_package("transformers", "test")
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16,
    )  # fmt: skip
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32},
                "do_resize": True, "do_normalize": True, "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3, "do_rescale": True}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    name = f"transformers:{tmp_path}"
    one, other = image_encoder(name, CPU), image_encoder(name, CPU)
    assert torch.equal(features(one), features(other))  # no part of it is drawn anew
    assert features(one).shape == (2, 24)


def test_transformers_of_words_are_means_of_tokens(tmp_path: Path) -> None:
    """Padding beside a longer text counts for nothing; against one text at a time."""
    transformers = import_package("transformers", "test")
    tokenizers = import_package("tokenizers", "test")
    words = ["[PAD]", "[UNK]", "a", "cat", "dog", "shy", "with", "stripes"]
    model = tokenizers.models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(tmp_path)
    torch.manual_seed(0)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(words), hidden_size=12, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=16,
        )
    ).eval()  # fmt: skip
    bert.save_pretrained(tmp_path)
    texts = ["a dog", "a shy cat with stripes"]
    with torch.no_grad():
        found = text_encoder(f"transformers:{tmp_path}", CPU).encode(texts)
        for row, text in zip(found, texts, strict=True):
            numbers = torch.tensor([[words.index(word) for word in text.split()]])
            expected = bert(numbers).last_hidden_state[0].mean(0)
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)


def test_torchscript_and_onnx(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.pt"))
    pytest.importorskip("onnxruntime")
    torch.onnx.export(model, (torch.zeros(2, 3, 32, 32),), tmp_path / "m.onnx", dynamo=False)
    script = image_encoder(f"torchscript:{tmp_path / 'm.pt'}", CPU, 32)
    onnx = image_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)
    torch.testing.assert_close(features(script), features(onnx), rtol=1e-4, atol=1e-5)
    assert len(script.weights) == 64


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, (str(tmp_path / "ran"), "w")  # type: ignore[return-value]

    import_package("torchvision.models", "test")
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"cannot be loaded .*; check the name, and where weights"):
        image_encoder(f"torchvision:resnet18@{tmp_path / 'w.pt'}", CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["timm", "open_clip", "transformers", "torchvision"])
def test_a_missing_extra_is_one_line(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    monkeypatch.setattr(packages.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"is not installed; pip install 'gzsl_dist\[images\]'"):
        image_encoder(f"{kind}:name/x", CPU)


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, gzsl_dist.extract, gzsl_dist.extraction.image_encoders, "
        "gzsl_dist.extraction.text_encoders\n"
        "print([m for m in ('timm', 'torchvision', 'transformers', 'open_clip', 'pyarrow', "
        "'sentence_transformers', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_preprocessing_function_is_recorded_by_its_name() -> None:
    """Not by its place in memory, which differs in every process and start."""
    encoder = image_encoder("python:tests.unit.extraction.small:with_function", CPU)
    assert encoder.preprocessing == "<function halved>"
    features(encoder)


def test_encoders_that_the_pages_name_exist() -> None:
    """Names and weights, as the packages list them; nothing is downloaded."""
    root = Path(__file__).parents[3]
    text = "".join((root / page).read_text() for page in ("README.md", "docs/images.md"))
    named = set(re.findall(r"\b(timm|torchvision|open_clip):([\w.-]+[@/]?[\w.-]*)", text))
    timm = import_package("timm", "test")
    models = import_package("torchvision.models", "test")
    clips = import_package("open_clip", "test").list_pretrained()
    exists = {
        "timm": timm.is_model_pretrained,
        "torchvision": lambda name: hasattr(
            models.get_model_weights(name.partition("@")[0]), name.partition("@")[2]
        ),
        "open_clip": lambda name: tuple(name.split("/")) in clips,
    }
    real = [(kind, name) for kind, name in named if not name.startswith("NAME") and name]
    assert {kind for kind, _ in real} == set(exists)
    assert not [f"{kind}:{name}" for kind, name in real if not exists[kind](name)]
    with pytest.raises(
        InputError, match=r"no weights 'augreg2_in21k'; it has vit_base_\w+\.augreg"
    ):
        image_encoder("timm:vit_base_patch16_224.augreg2_in21k", CPU)
