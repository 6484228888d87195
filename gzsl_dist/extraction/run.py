"""From images and a class file to a data set, on all processes of a job, resumably."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_dist.data.dataset import Dataset, FloatArray, summary
from gzsl_dist.data.store import write_dataset
from gzsl_dist.data.validation import check_class_table
from gzsl_dist.distributed.log import log_rank0
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.extraction.classes import ClassTable
from gzsl_dist.extraction.encode import encode_part, image_batches, image_function, text_batches
from gzsl_dist.extraction.encoder import ImageEncoder, TextEncoder, class_embeddings, unit
from gzsl_dist.extraction.images import ImageEntry
from gzsl_dist.extraction.packages import versions
from gzsl_dist.extraction.part_file import PartFile
from gzsl_dist.extraction.splits import SplitRule, lacking_images, split_rows
from gzsl_dist.files import atomic_write, exclusive_lock, read_json_object

TEXT_BATCH = 64


@dataclass(frozen=True)
class Extraction:
    """What is to be extracted, and how.

    Attributes:
        out: the prepared file.
        name: of the data set.
        entries: labelled images.
        table: the class file.
        rule: how classes and rows are split.
        batch_size: images of a batch.
        precision: ``float32``, or the type of autocast.
        workers: processes that read images, for each process of the job.
        skip_bad: leave images out that cannot be read.
        strict: refuse classes without images.
    """

    out: Path
    name: str
    entries: Sequence[ImageEntry]
    table: ClassTable
    rule: SplitRule
    batch_size: int
    precision: str
    workers: int
    skip_bad: bool
    strict: bool


def extract(
    job: Extraction,
    images: ImageEncoder,
    texts: TextEncoder | None,
    processes: DistributedContext,
    *,
    overwrite: bool,
) -> str:
    """Encode, split and write; every process must call. Killed, the same call resumes.

    Returns:
        What was written, for people.

    Raises:
        InputError: bad images, classes, encoders or places; one line.
        PreemptedError: stopped by a signal.
    """
    folder = job.out.with_name(f"{job.out.name}.extracting")
    plan = _plan(job, images, texts)
    processes.agree({"the extraction": plan["checksum"]}, "give all machines the same files")
    with ExitStack() as stack:
        keys = processes.run_on_rank0(lambda: _batch_keys(job))
        part = PartFile(folder, "images", len(job.entries), job.batch_size, keys)

        def open_folder() -> int:
            stack.enter_context(_locked(folder))
            _check_plan(folder, plan, overwrite=overwrite)
            _check_room(folder, len(job.entries))
            return part.prune(overwrite=overwrite)

        changed = processes.run_on_rank0(open_folder)
        if changed:
            log_rank0(processes, f"{changed} batches hold other images now: encoded again")
        processes.agree_on_folder("folder of --out", job.out.parent)
        semantics = _semantics(job, texts, folder, processes)
        reader = image_batches(
            job.entries, part, images.transform, job.workers, pin=images.device.type == "cuda"
        )
        encode_part(
            part, reader, image_function(images, job.precision),
            lambda row: job.entries[row].name, processes, skip_bad=job.skip_bad,
        )  # fmt: skip
        for row in sorted(part.bad):
            log_rank0(processes, f"left out: {job.entries[row].name}: {part.bad[row]}")

        def finish() -> str:
            dataset = _assemble(job, part, semantics, images, texts)
            write_dataset(job.out, dataset, overwrite=overwrite)
            shutil.rmtree(folder, ignore_errors=True)
            return summary(dataset)

        return processes.run_on_rank0(finish)


def _plan(job: Extraction, images: ImageEncoder, texts: TextEncoder | None) -> dict[str, Any]:
    """What decides the encoded rows besides the images; another one cannot resume them."""
    described = hashlib.sha256(repr((job.table.names, job.table.texts)).encode())
    plan: dict[str, Any] = {
        "classes": described.hexdigest(),
        "image encoder": images.record(),
        "text encoder": texts.record() if texts else None,
        "batch size": job.batch_size,
        "precision": job.precision,
    }
    plan = json.loads(json.dumps(plan))  # as it is read again
    text = json.dumps(plan, sort_keys=True)
    return plan | {"checksum": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _batch_keys(job: Extraction) -> list[str]:
    """What each batch of images is made of: their places, sizes and times of change."""

    @cache
    def state(file: str) -> tuple[int, int, int] | None:
        try:
            found = os.stat(file)
        except OSError:  # reading it will give the reason
            return None
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns  # the last cannot be set

    entries, keys = job.entries, []
    for first in range(0, len(entries), job.batch_size):
        batch = entries[first : first + job.batch_size]
        made_of = [(one.name, one.offset, one.size, state(one.file)) for one in batch]
        keys.append(hashlib.sha256(repr(made_of).encode()).hexdigest()[:32])
    return keys


def _locked(folder: Path) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); choose another --out"
        ) from None
    return exclusive_lock(
        folder / "lock", str(folder), busy=f"{folder}: another job is at work there; wait for it",
        remedy="name a place on a file system that has locks",
    )  # fmt: skip


def _check_plan(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> None:
    path = folder / "plan.json"
    if path.exists():
        found = read_json_object(path, f"remove {folder}")
        if found == plan:
            return
        if not overwrite:
            other = [
                key
                for key in {**plan, **found}
                if key != "checksum" and found.get(key) != plan.get(key)
            ]
            raise InputError(
                f"{folder}: holds an unfinished extraction that differs in: {', '.join(other)}; "
                "give the same command to resume it, or --overwrite to begin anew"
            )
    for old in folder.iterdir():
        if old.name != "lock":
            old.unlink()
    atomic_write(path, json.dumps(plan))


def _check_room(folder: Path, rows: int) -> None:
    """Refuse a disk that is certainly too small: a row has at least a hundred values or so."""
    free = shutil.disk_usage(folder).free
    if free < 2 * 400 * rows:
        raise InputError(
            f"{folder}: {free} bytes are free, too few for {rows} images; make room or choose "
            "another --out"
        )


def _semantics(
    job: Extraction, texts: TextEncoder | None, folder: Path, processes: DistributedContext
) -> FloatArray:
    """``(classes, d_a)``: descriptions and attributes, each of length 1 where there are both."""
    table, parts = job.table, []
    if texts is not None:
        owner = np.repeat(np.arange(len(table.names)), [len(several) for several in table.texts])
        flat = [text for several in table.texts for text in several]
        part = PartFile(folder, "texts", len(flat), TEXT_BATCH)
        encode_part(
            part, text_batches(flat, part), texts.encode,
            lambda row: f"class {table.names[owner[row]]!r}", processes,
        )  # fmt: skip
        parts.append(class_embeddings(part.read(), owner))
    if table.attributes is not None:
        values = table.attributes.astype(np.float64)
        parts.append(unit(values) if parts else values)
    semantics = np.concatenate(parts, axis=1).astype(np.float32)
    check_class_table(
        Dataset(
            job.name, np.empty((0, 0), np.float32), np.empty(0, np.int64), semantics,
            table.names, {},
        ),
        "classes",
    )  # fmt: skip
    return semantics


def _assemble(
    job: Extraction,
    part: PartFile,
    semantics: FloatArray,
    images: ImageEncoder,
    texts: TextEncoder | None,
) -> Dataset:
    features, entries = part.read(), job.entries
    if part.bad:
        kept = [row for row in range(part.rows) if row not in part.bad]
        features, entries = features[kept], [entries[row] for row in kept]
    labels, splits = split_rows(entries, job.table, job.rule, strict=job.strict)
    lacking = lacking_images(entries, job.table, job.rule)
    missing, rule = [lacking] if lacking else [], asdict(job.rule)
    by_seed = f"drawn by seed {job.rule.seed}"
    if any(not entries[row].split for row in splits["test_seen"]):
        rule["test_seen"] = f"{job.rule.held_out:g} of each class {by_seed}"
        missing.append(f"test rows of seen classes: {rule['test_seen']}")
    if "val" not in splits:
        missing.append("no validation classes; a draw replaces them")
    elif "val" in job.table.splits:
        rule["validation_classes"] = "named by the class file"
    else:
        rule["validation_classes"] = by_seed
        missing.append(f"validation classes: {by_seed}")
    rule["unseen"] = "listed" if job.rule.unseen is not None else "by the class file and the images"
    text_record = None if texts is None else texts.record() | {"template": job.table.template}
    return Dataset(
        name=job.name,
        features=features,
        labels=labels,
        semantics=semantics,
        classes=job.table.names,
        splits=splits,
        missing=tuple(missing),
        origin={
            **versions("gzsl_dist"),
            "image_encoder": images.record() | {"precision": job.precision},
            "text_encoder": text_record,
            "attributes": list(job.table.attribute_names),
            "split": rule,
            "images": {"encoded": len(entries), "left_out": len(part.bad)},
        },
    )
