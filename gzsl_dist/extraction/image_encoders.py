"""Image encoders by kind. Nothing that is loaded may run code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.encoder import (
    ImageEncoder,
    file_sha256,
    function_named,
    loaded,
    ready,
    torch_and,
)
from gzsl_dist.extraction.kinds import IMAGE_KINDS, kind_and_name
from gzsl_dist.extraction.packages import import_package, versions
from gzsl_dist.extraction.preprocessing import Preprocessing
from gzsl_dist.models.fingerprint import fingerprint


def image_encoder(text: str, device: torch.device, size: int | None = None) -> ImageEncoder:
    """Load an image encoder.

    Args:
        text: ``KIND:NAME``; the kinds are those of `IMAGE_KINDS`.
        device: where it computes.
        size: side of the square image, for kinds without preprocessing of their own.

    Raises:
        InputError: unknown kind or name, a package that is missing, weights that cannot be loaded.
    """
    kind, name = kind_and_name(text, IMAGE_KINDS, "--image-encoder")
    if size is not None and kind not in ("torchscript", "onnx"):
        raise InputError(f"--image-size: {kind} brings its own preprocessing; leave it out")
    found: ImageEncoder = loaded(
        f"--image-encoder {text}", lambda: KINDS[kind](text, name, device, size)
    )
    return found


def _timm(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    timm = import_package("timm", text)
    if Path(name).is_dir():
        name = f"local-dir:{name}"
    model_name, _, tag = name.partition(".")
    if tag and timm.is_model(model_name) and not timm.is_model_pretrained(name):
        known = timm.list_pretrained(f"{model_name}.*")
        raise InputError(f"{text}: timm has no weights {tag!r}; it has {', '.join(known)}")
    model = timm.create_model(name, pretrained=True)
    model.reset_classifier(0)
    ready(model, device)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    return _of_module(text, model, transform, config, device, "timm", "torchvision")


def _torchvision(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    models = import_package("torchvision.models", text)
    name, _, wanted = name.partition("@")
    known = models.get_model_weights(name)
    file = Path(wanted) if wanted and wanted not in known.__members__ else None
    if file is not None and not file.is_file():
        raise InputError(
            f"--image-encoder {text}: {wanted!r} is neither a file nor weights of {name}, which "
            f"has {', '.join(known.__members__)}"
        )
    weights = known[wanted] if wanted and file is None else known.DEFAULT
    if file is None:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    elif file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(file)
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    model = models.get_model(name, weights=None)
    model.load_state_dict(state)
    if hasattr(model, "transform_input"):  # torchvision sets it where it loads weights itself
        model.transform_input = True
    _drop_classifier(model, text)
    transform = weights.transforms()
    return _of_module(text, ready(model, device), transform, repr(transform), device, "torchvision")


def _drop_classifier(model: nn.Module, text: str) -> None:
    """Put the identity in the place of the last linear layer of a torchvision model's head."""
    for attribute in ("fc", "classifier", "heads", "head"):
        head = getattr(model, attribute, None)
        if isinstance(head, nn.Linear):
            setattr(model, attribute, nn.Identity())
            return
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return
    raise InputError(
        f"--image-encoder {text}: its head ends in no linear layer that could be taken off; use "
        "python:package.module:function"
    )


def _transformers(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    transformers = import_package("transformers", text)
    local = {"local_files_only": Path(name).is_dir(), "trust_remote_code": False}
    processor = transformers.AutoImageProcessor.from_pretrained(name, **local)
    model, info = transformers.AutoModel.from_pretrained(
        name, **local, use_safetensors=True, output_loading_info=True
    )
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise InputError(f"--image-encoder {text}: its weights lack {missing[0]}; give whole ones")
    has_pooler = not info["missing_keys"]
    ready(model, device)

    def encode(images: Tensor) -> Tensor:
        if hasattr(model, "get_image_features"):
            found: Any = model.get_image_features(pixel_values=images)
            pooled: Tensor = found if isinstance(found, Tensor) else found.pooler_output
            return pooled
        outputs = model(pixel_values=images)
        if not has_pooler or getattr(outputs, "pooler_output", None) is None:
            pooled = outputs.last_hidden_state
            return pooled[:, 0] if pooled.ndim == 3 else pooled.mean((2, 3))
        pooled = outputs.pooler_output
        return pooled.flatten(1) if pooled.shape[2:].numel() == 1 else pooled

    def transform(image: Any) -> Tensor:
        return torch.as_tensor(processor(images=image, return_tensors="pt")["pixel_values"][0])

    record = json.loads(processor.to_json_string())
    return ImageEncoder(
        text, encode, transform, record, fingerprint(model), torch_and("transformers"), device
    )


def _open_clip(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    model, transform, _ = open_clip_model(text, name, device)
    return ImageEncoder(
        text, model.encode_image, transform, repr(transform), fingerprint(model),
        torch_and("open_clip_torch", "torchvision"), device,
    )  # fmt: skip


def open_clip_model(text: str, name: str, device: torch.device) -> tuple[Any, Any, Any]:
    """Model, preprocessing of images and tokenizer of ``NAME/PRETRAINED``.

    Raises:
        InputError: PRETRAINED is missing, or the package.
    """
    open_clip = import_package("open_clip", text)
    architecture, _, pretrained = name.partition("/")
    if not pretrained:
        raise InputError(f"{text}: give NAME/PRETRAINED, the latter a tag or a file of weights")
    model, _, transform = open_clip.create_model_and_transforms(
        architecture, pretrained=pretrained, device=device
    )
    return ready(model, device), transform, open_clip.get_tokenizer(architecture)


def _torchscript(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    weights = file_sha256(Path(name), f"--image-encoder {text}")
    model = torch.jit.load(name, map_location=device).eval()
    preprocessing = Preprocessing(size or 224)
    return ImageEncoder(
        text, model, preprocessing, preprocessing.record(), weights, torch_and(), device
    )


def _onnx(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    runtime = import_package("onnxruntime", text)
    weights = file_sha256(Path(name), f"--image-encoder {text}")
    options = runtime.SessionOptions()
    if device.type == "cpu":
        options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    providers = [p for p in wanted if p in runtime.get_available_providers()]
    session = runtime.InferenceSession(
        name, options, providers=[*providers, "CPUExecutionProvider"]
    )
    given, *further = session.get_inputs()
    if further or len(given.shape) != 4:
        raise InputError(
            f"--image-encoder {text}: takes {len(further) + 1} inputs, the first of shape "
            f"{given.shape}; one of (batch, 3, height, width) is needed"
        )
    side = given.shape[-1]
    preprocessing = Preprocessing(size or (side if isinstance(side, int) else 224))
    batch = given.shape[0] if isinstance(given.shape[0], int) else None

    def encode(images: Tensor) -> Tensor:
        parts = images.float().cpu().split(batch or max(1, len(images)))
        found = [session.run(None, {given.name: part.numpy()})[0] for part in parts]
        return torch.cat([torch.from_numpy(part) for part in found])

    return ImageEncoder(
        text, encode, preprocessing, preprocessing.record(), weights,
        torch_and() | versions("onnxruntime"), device,
    )  # fmt: skip


def _python(text: str, name: str, device: torch.device, size: int | None) -> ImageEncoder:
    result = function_named(name, "--image-encoder")()
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], nn.Module)):
        raise InputError(
            f"--image-encoder {text}: must return an nn.Module and its preprocessing (a function "
            f"of an RGB image of Pillow that gives a tensor); it returned {type(result).__name__}"
        )
    model, transform = result
    record = transform.record() if isinstance(transform, Preprocessing) else repr(transform)
    return _of_module(text, ready(model, device), transform, record, device)


def _of_module(
    text: str, model: nn.Module, transform: Any, record: Any, device: torch.device, *packages: str
) -> ImageEncoder:
    if isinstance(record, str):  # of a plain function: its name, not where it is in memory
        record = re.sub(r" at 0x[0-9a-fA-F]+", "", record)
    return ImageEncoder(
        text, model, transform, record, fingerprint(model), torch_and(*packages), device
    )


KINDS: dict[str, Callable[[str, str, torch.device, int | None], ImageEncoder]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": _transformers,
    "open_clip": _open_clip,
    "torchscript": _torchscript,
    "onnx": _onnx,
    "python": _python,
}
