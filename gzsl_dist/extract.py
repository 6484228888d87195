"""From images and words to a prepared data file: ``python -m gzsl_dist.extract``.

Alone or under torchrun; each process encodes its share, and the file is the same bit for bit at any
number of processes. Killed, the same command resumes. docs/images.md walks through it.

IMAGES: a folder with a folder a class; a table (.csv, .tsv, .json, .parquet) with columns path,
label and perhaps split (train, test); or WebDataset .tar files.

Image encoders: timm:NAME_OR_FOLDER, torchvision:NAME[@WEIGHTS_OR_FILE],
transformers:NAME_OR_FOLDER, open_clip:NAME/PRETRAINED, torchscript:FILE, onnx:FILE,
python:package.module:function. Text encoders: sentence-transformers:NAME_OR_FOLDER,
transformers:NAME_OR_FOLDER (mean of tokens), open_clip:NAME/PRETRAINED,
python:package.module:function.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_dist.command import CommandParser, positive_integer, run_command, whole_number
from gzsl_dist.extraction.kinds import image_kind, text_kind

if TYPE_CHECKING:
    from gzsl_dist.extraction.run import Extraction


def main(arguments: list[str]) -> int:
    """Extract as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.extract", description=__doc__)
    parser.add_argument("images", metavar="IMAGES", type=Path, nargs="+", help="see above")
    parser.add_argument(
        "--classes", required=True, type=Path, metavar="FILE",
        help="table with the column name; description, split and attributes where there are any",
    )  # fmt: skip
    parser.add_argument(
        "--image-encoder", required=True, type=image_kind, metavar="KIND:NAME", help="see above"
    )
    parser.add_argument(
        "--text-encoder", type=text_kind, metavar="KIND:NAME",
        help="see above; without one, attributes alone",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, help="HDF5 file to write")
    parser.add_argument(
        "--template", help='text of a class, such as "a photo of a {name}. {description}"'
    )
    parser.add_argument(
        "--unseen", type=Path, metavar="FILE",
        help="unseen classes, one a line; default: by a column split, else those without images",
    )  # fmt: skip
    parser.add_argument(
        "--held-out", type=_share, default=0.2, metavar="SHARE",
        help="of each seen class's images, for test_seen; default 0.2",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=_share, metavar="SHARE",
        help="of seen classes, for model selection; default: as many as are unseen of all",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number, default=0, help="of both draws; default 0")
    parser.add_argument(
        "--batch-size", type=positive_integer, help="images of a batch; default 16, on a GPU 64"
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        help="processes that read images, a process; default: its CPUs",
    )
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "float16"), default="float32",
        help="autocast on GPUs; default float32",
    )  # fmt: skip
    parser.add_argument(
        "--image-size", type=positive_integer, help="of torchscript and onnx; default the model's"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--name", help="name in reports [that of OUT]")
    parser.add_argument(
        "--skip-bad", action="store_true", help="list images that cannot be read and go on"
    )
    parser.add_argument("--strict", action="store_true", help="refuse classes without images")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)

    from gzsl_dist.data.store import check_target
    from gzsl_dist.distributed.log import log_rank0
    from gzsl_dist.distributed.processes import start_processes
    from gzsl_dist.extraction.image_encoders import image_encoder
    from gzsl_dist.extraction.run import extract
    from gzsl_dist.extraction.text_encoders import text_encoder

    with start_processes(options.device) as processes:
        processes.run_on_rank0(lambda: check_target(options.out, overwrite=options.overwrite))
        options.batch_size = options.batch_size or (64 if processes.device.type == "cuda" else 16)
        job, notes = processes.run_on_rank0(lambda: _job(options))
        log_rank0(
            processes,
            f"{len(job.entries)} images, {len(job.table.names)} classes, encoded by "
            f"{options.image_encoder}"
            + (f" and {options.text_encoder}" if options.text_encoder else ""),
        )
        for note in notes:
            log_rank0(processes, note)
        device = processes.device
        images = processes.run_on_all_ranks(
            lambda: image_encoder(options.image_encoder, device, options.image_size)
        )
        texts = processes.run_on_all_ranks(
            lambda: text_encoder(options.text_encoder, device) if options.text_encoder else None
        )
        written = extract(job, images, texts, processes, overwrite=options.overwrite)
        if processes.is_main_process:
            print(written)
            print(f"written: {options.out}")
    return 0


def _job(options: argparse.Namespace) -> tuple[Extraction, list[str]]:
    """What is to be extracted, and what its user should know of it."""
    from gzsl_dist.data.memory import processes_here
    from gzsl_dist.extraction.classes import read_classes
    from gzsl_dist.extraction.images import find_images
    from gzsl_dist.extraction.run import Extraction
    from gzsl_dist.extraction.splits import SplitRule, check_labels, read_unseen, split_rows

    table = read_classes(
        options.classes, options.template, with_texts=options.text_encoder is not None
    )
    unseen = read_unseen(options.unseen, table.names) if options.unseen is not None else None
    others: list[str] = []
    entries = find_images(options.images, table.names, others)
    check_labels(entries, table.names, str(options.images[0]))
    rule = SplitRule(unseen, options.held_out, options.validation, options.seed)
    split_rows(entries, table, rule, strict=options.strict)  # before hours are spent
    workers = options.workers
    if workers is None:
        workers = max(1, len(os.sched_getaffinity(0)) // processes_here())
    job = Extraction(
        out=options.out,
        name=options.name or options.out.stem,
        entries=entries,
        table=table,
        rule=rule,
        batch_size=options.batch_size,
        precision=options.precision,
        workers=min(workers, 16),
        skip_bad=options.skip_bad,
        strict=options.strict,
    )
    return job, _notes(job, others)


def _notes(job: Extraction, others: list[str]) -> list[str]:
    """What of the class file and of the images counts for what."""
    from gzsl_dist.extraction.splits import lacking_images

    table, notes = job.table, []
    if table.texts:
        notes.append(f"text of a class: {table.template}")
    if table.attributes is not None:
        names = table.attribute_names
        more = ", ..." if len(names) > 5 else ""
        notes.append(f"{len(names)} attributes: {', '.join(names[:5])}{more}")
    if table.unused:
        notes.append(f"columns of the class file that are not used: {', '.join(table.unused)}")
    if others:
        notes.append(
            f"{len(others)} files are no images by their endings and left out, such as "
            f"{min(others)}"
        )
    if lacking := lacking_images(job.entries, table, job.rule):
        notes.append(f"missing: {lacking}")
    return notes


def _share(text: str) -> float:
    """An option's value from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return value


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
