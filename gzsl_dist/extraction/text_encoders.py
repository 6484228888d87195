"""Text encoders by kind. Nothing that is loaded may run code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from gzsl_dist.errors import InputError
from gzsl_dist.extraction.encoder import (
    TextEncoder,
    function_named,
    loaded,
    ready,
    torch_and,
)
from gzsl_dist.extraction.image_encoders import open_clip_model
from gzsl_dist.extraction.kinds import TEXT_KINDS, kind_and_name
from gzsl_dist.extraction.packages import import_package
from gzsl_dist.models.fingerprint import fingerprint


def text_encoder(text: str, device: torch.device) -> TextEncoder:
    """Load a text encoder.

    Args:
        text: ``KIND:NAME``; the kinds are those of `TEXT_KINDS`.
        device: where it computes.

    Raises:
        InputError: unknown kind or name, a package that is missing, weights that cannot be loaded.
    """
    kind, name = kind_and_name(text, TEXT_KINDS, "--text-encoder")
    found: TextEncoder = loaded(f"--text-encoder {text}", lambda: KINDS[kind](text, name, device))
    return found


def _sentence_transformers(text: str, name: str, device: torch.device) -> TextEncoder:
    package = import_package("sentence_transformers", text)
    model = package.SentenceTransformer(
        name, device=str(device), trust_remote_code=False, local_files_only=Path(name).is_dir(),
        model_kwargs={"use_safetensors": True},
    )  # fmt: skip

    def encode(texts: list[str]) -> Tensor:
        found: Tensor = model.encode(
            texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
        )
        return found

    packages = torch_and("sentence-transformers", "transformers", "tokenizers")
    return TextEncoder(text, encode, fingerprint(model), packages)


def _transformers(text: str, name: str, device: torch.device) -> TextEncoder:
    transformers = import_package("transformers", text)
    local = {"local_files_only": Path(name).is_dir(), "trust_remote_code": False}
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, **local)
    model = ready(
        transformers.AutoModel.from_pretrained(name, **local, use_safetensors=True), device
    )

    def encode(texts: list[str]) -> Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        words = model(**tokens).last_hidden_state
        counted = tokens["attention_mask"][..., None].to(words)
        mean: Tensor = (words * counted).sum(1) / counted.sum(1)
        return mean

    packages = torch_and("transformers", "tokenizers")
    return TextEncoder(text, encode, fingerprint(model), packages)


def _open_clip(text: str, name: str, device: torch.device) -> TextEncoder:
    model, _, tokenizer = open_clip_model(text, name, device)

    def encode(texts: list[str]) -> Tensor:
        found: Tensor = model.encode_text(tokenizer(texts).to(device))
        return found

    return TextEncoder(text, encode, fingerprint(model), torch_and("open_clip_torch"))


def _python(text: str, name: str, device: torch.device) -> TextEncoder:
    model = function_named(name, "--text-encoder")()
    if not (isinstance(model, nn.Module) and callable(getattr(model, "encode", None))):
        raise InputError(
            f"--text-encoder {text}: must return an nn.Module with a method encode(texts) that "
            f"gives (texts, d); it returned {type(model).__name__}"
        )
    ready(model, device)
    return TextEncoder(text, cast(Any, model.encode), fingerprint(model), torch_and())


KINDS: dict[str, Callable[[str, str, torch.device], TextEncoder]] = {
    "sentence-transformers": _sentence_transformers,
    "transformers": _transformers,
    "open_clip": _open_clip,
    "python": _python,
}
