"""Packages of the extra ``images``, imported when they are needed and not before."""

from __future__ import annotations

import importlib
import os
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gzsl_dist.errors import InputError

INSTALL = "pip install 'gzsl_dist[images]'"
NEEDS_TORCHVISION = ("timm", "open_clip", "torchvision", "transformers", "sentence_transformers")


def import_package(module: str, wanted_by: str) -> Any:
    """Import a module of the extra.

    Args:
        module: its name, such as ``pyarrow.parquet``.
        wanted_by: what needs it, as the user wrote it; begins the error.

    Raises:
        InputError: it is not installed, or cannot be imported.
    """
    package = module.partition(".")[0]
    if package in NEEDS_TORCHVISION:
        _declare_missing_operators()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it warns when workers are forked
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        found = importlib.import_module(module)
        if package in ("transformers", "sentence_transformers"):
            importlib.import_module("transformers").utils.logging.disable_progress_bar()
        return found
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == package:
            raise InputError(
                f"{wanted_by}: the package {package} is not installed; {INSTALL}"
            ) from None
        raise _broken(wanted_by, package, error) from None
    except (ImportError, RuntimeError) as error:
        raise _broken(wanted_by, package, error) from None


def _broken(wanted_by: str, package: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{wanted_by}: {package} cannot be imported ({reason}); {INSTALL}")


def versions(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed, by the name that pip knows."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _declare_missing_operators() -> None:
    """Let torchvision be imported beside a torch that it was not compiled for.

    The registry's torchvision belongs to the registry's torch; beside a CPU build its import ends
    at operators of detection (``nms``), which no encoder calls: declared, they do no harm.
    """
    import torch

    for _ in range(8):
        try:
            importlib.import_module("torchvision")
            return
        except ModuleNotFoundError:
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                return  # whoever needs it will say so
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            _DECLARED.append(library)


_DECLARED: list[Any] = []
"""A library's declarations end with it."""
