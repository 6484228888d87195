"""Names of encoders, ``KIND:NAME``; nothing here imports torch, so a wrong one ends at once."""

from __future__ import annotations

from gzsl_dist.errors import InputError

IMAGE_KINDS = ("timm", "torchvision", "transformers", "open_clip", "torchscript", "onnx", "python")
TEXT_KINDS = ("sentence-transformers", "transformers", "open_clip", "python")


def image_kind(text: str) -> str:
    """An image encoder's ``KIND:NAME`` as it is given, checked.

    Raises:
        InputError: unknown kind, or no name.
    """
    kind_and_name(text, IMAGE_KINDS, "--image-encoder")
    return text


def text_kind(text: str) -> str:
    """A text encoder's ``KIND:NAME`` as it is given, checked.

    Raises:
        InputError: unknown kind, or no name.
    """
    kind_and_name(text, TEXT_KINDS, "--text-encoder")
    return text


def kind_and_name(text: str, kinds: tuple[str, ...], option: str) -> tuple[str, str]:
    """Split ``KIND:NAME``.

    Raises:
        InputError: the kind is none of these, or the name is missing.
    """
    kind, _, name = text.partition(":")
    if kind not in kinds or not name:
        raise InputError(
            f"{option} {text!r}: give KIND:NAME, where KIND is {', '.join(kinds[:-1])} or "
            f"{kinds[-1]}"
        )
    return kind, name
