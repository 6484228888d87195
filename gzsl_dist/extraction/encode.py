"""Encoding images and texts on all processes of a job.

A batch is a fixed range of rows, computed whole by one process: which process, how many there are
and how many workers read images changes no bit of any row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gzsl_dist.data.dataset import FloatArray
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError, InterruptedRunError, PreemptedError
from gzsl_dist.extraction.encoder import ImageEncoder, Transform
from gzsl_dist.extraction.images import ImageEntry, UnreadableImageError, read_image
from gzsl_dist.extraction.part_file import PartFile
from gzsl_dist.monitoring.progress import StepProgress
from gzsl_dist.training.stop_signal import stop_signal

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
STOP_SIGNALS = ("SIGTERM", f"SIG{os.environ.get('GZSL_SIGNAL', 'USR1')}")
"""A job's body says which signal comes before its limit."""

Batch = tuple[int, Any, dict[int, str]]
"""Number, what the encoder takes, and the rows that could not be read, with reasons."""


class _Images(Dataset[tuple[int, Tensor, str]]):
    """Images as tensors; one that cannot be read is blank, so that its batch keeps its shape."""

    def __init__(self, entries: Sequence[ImageEntry], transform: Transform) -> None:
        self.entries, self.transform = entries, transform

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, row: int) -> tuple[int, Tensor, str]:
        try:
            image, reason = read_image(self.entries[row]), ""
        except UnreadableImageError as error:
            image, reason = Image.new("RGB", (256, 256)), str(error)
        try:
            return row, torch.as_tensor(self.transform(image)), reason
        except Exception as error:  # a strip of one pixel, for instance
            blank = torch.as_tensor(self.transform(Image.new("RGB", (256, 256))))
            return row, blank, f"preprocessing failed ({error})"


def _collate(items: list[tuple[int, Tensor, str]]) -> tuple[Tensor | None, dict[int, str], str]:
    bad = {row: reason for row, _, reason in items if reason}
    shapes = {tuple(tensor.shape) for _, tensor, _ in items}
    if len(shapes) > 1:
        one, other, *_ = sorted(shapes)
        return None, bad, f"preprocessing gives images of {one} and of {other}; one size is needed"
    return torch.stack([tensor for _, tensor, _ in items]), bad, ""


def image_batches(
    entries: Sequence[ImageEntry],
    part: PartFile,
    transform: Transform,
    workers: int,
    *,
    pin: bool = False,
) -> Callable[[list[int]], Iterator[Batch]]:
    """What reads batches of images, ahead of the encoder.

    Args:
        entries: all images.
        part: knows which rows a batch has.
        transform: of the encoder.
        workers: processes that read; 0 reads here.
        pin: put batches where a GPU fetches them faster.
    """

    def batches(numbers: list[int]) -> Iterator[Batch]:
        loader = DataLoader(
            _Images(entries, transform),
            batch_sampler=[list(part.numbers(number)) for number in numbers],
            num_workers=min(workers, len(numbers)),
            collate_fn=_collate,
            pin_memory=pin,
            multiprocessing_context="fork" if workers and numbers else None,
        )
        try:
            for number, (images, bad, wrong) in zip(numbers, loader, strict=True):
                if wrong:
                    raise InputError(f"{entries[part.numbers(number).start].name}: {wrong}")
                yield number, images, bad
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise InputError(
                "a process that reads images died, out of memory perhaps; give fewer --workers or "
                "a smaller --batch-size, the rest is resumed"
            ) from None

    return batches


def text_batches(texts: Sequence[str], part: PartFile) -> Callable[[list[int]], Iterator[Batch]]:
    """Batches of texts."""
    return lambda numbers: (
        (number, [texts[row] for row in part.numbers(number)], {}) for number in numbers
    )


def image_function(encoder: ImageEncoder, precision: str) -> Callable[[Any], Tensor]:
    """``(batch, channels, height, width)`` to checked features, by autocast where asked for."""
    dtype = PRECISIONS[precision]
    cast = nullcontext() if dtype is None else torch.autocast(encoder.device.type, dtype)

    def encode(images: Tensor) -> Tensor:
        try:
            with cast:
                return encoder.encode(images.to(encoder.device, non_blocking=True))
        except torch.OutOfMemoryError:
            raise InputError(
                "the GPU's memory is too small for this batch; give a smaller --batch-size"
            ) from None

    return encode


def encode_part(
    part: PartFile,
    batches: Callable[[list[int]], Iterable[Batch]],
    encode: Callable[[Any], Tensor],
    names: Callable[[int], str],
    processes: DistributedContext,
    *,
    skip_bad: bool = False,
) -> None:
    """Encode what is not yet there, each process its share; all must call.

    Args:
        part: where rows go.
        batches: gives batches by their numbers.
        encode: rows of the encoder.
        names: what messages call a row.
        processes: the job.
        skip_bad: note what cannot be read, instead of stopping.

    Raises:
        InputError: an image that cannot be read; an encoder's output that is no finite vector a
            row.
        PreemptedError: stopped by a signal or Ctrl-C; what was encoded stays.
    """
    processes.run_on_all_ranks(part.read_journals)  # all, before any writes on
    left = processes.run_on_rank0(
        lambda: [number for number in range(part.batches) if number not in part.done]
    )
    own = left[processes.rank :: processes.world_size]
    before = part.batches - len(left)
    done = min(before * part.batch_size, part.rows)
    title, unit = f"encode {part.name}", part.name.removesuffix("s")
    with (
        stop_signal(STOP_SIGNALS) as stop,
        StepProgress(title, part.rows, done, processes, unit=unit) as bar,
    ):

        def work() -> bool:
            with stop.in_steps(), torch.no_grad():
                for count, (number, inputs, bad) in enumerate(batches(own), start=1):
                    if bad and not skip_bad:
                        row = min(bad)
                        raise InputError(
                            f"{names(row)}: {bad[row]}; repair or remove it, or leave such images "
                            "out with --skip-bad"
                        )
                    values = checked(encode(inputs), part, number, bad, names)
                    try:
                        part.write(number, values, bad, processes.rank)
                    except OSError as error:
                        raise InputError(
                            f"{part.path}: {error.strerror}; make room, the same command resumes"
                        ) from None
                    rows = (before + count * processes.world_size) * part.batch_size
                    bar.advance(min(rows, part.rows), {})
                    if stop.name is not None and count < len(own):
                        return True
            return False

        try:
            stopped = processes.run_on_all_ranks(work)
        except KeyboardInterrupt:
            raise InterruptedRunError(f"{title}: interrupted; the same command resumes") from None
    if processes.all_reduce_any(stopped):
        raise PreemptedError(f"{title}: stopped by a signal; the same command resumes")
    part.read_journals()
    if len(part.done) < part.batches:
        raise InputError(
            f"{part.path}: {part.batches - len(part.done)} batches were written by no process; put "
            "--out on storage that all machines see alike"
        )


def checked(
    found: Any, part: PartFile, number: int, bad: dict[int, str], names: Callable[[int], str]
) -> FloatArray:
    """A batch's rows as float32.

    Raises:
        InputError: not ``(batch, width)``, another width than before, NaN or infinite values.
    """
    rows = part.numbers(number)
    if not isinstance(found, Tensor):
        raise InputError(
            f"the encoder of {part.name} gives {type(found).__name__}; a tensor is needed"
        )
    if found.ndim != 2 or len(found) != len(rows):
        raise InputError(
            f"the encoder of {part.name} gives {found.ndim}-d output {tuple(found.shape)} for "
            f"{len(rows)} inputs; one vector for each is needed (pool its places, flatten the rest)"
        )
    values: FloatArray = found.detach().float().cpu().numpy()
    finite = np.isfinite(values).all(axis=1)
    for place in np.flatnonzero(~finite):
        if rows[place] not in bad:
            raise InputError(
                f"{names(rows[place])}: the encoder of {part.name} gives NaN or infinite values; "
                "try --precision float32, or another encoder"
            )
    values[~finite] = 0
    return values
