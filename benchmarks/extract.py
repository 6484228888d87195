"""Images a second of `gzsl extract`, against the encoder's own rate on images in memory.

    python benchmarks/extract.py --images ../shared/data/grocery/images [--count 320]

The own rate is that of the same batches, decoded and prepared beforehand; the other that of the
command's loop: read, decode, prepare (in workers), encode, write. The two take turns; reported is
the median of the repetitions, in wall time and in processor time of this process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.extraction.encode import encode_part, image_batches, image_function
from gzsl_dist.extraction.image_encoders import image_encoder
from gzsl_dist.extraction.images import find_images
from gzsl_dist.extraction.part_file import PartFile

LITE0 = "python:gzsl_dist.extraction.efficientnet_lite:lite0"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder a class")
    parser.add_argument("--image-encoder", default=LITE0, metavar="KIND:NAME")
    parser.add_argument("--count", type=int, default=320, help="images")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = image_encoder(options.image_encoder, device)
    entries = find_images([options.images])[: options.count]
    encode = image_function(encoder, options.precision)
    processes = DistributedContext(0, 1, device, quiet=True)

    def part(folder: str) -> PartFile:
        return PartFile(Path(folder), "images", len(entries), options.batch_size)

    def reader(of: PartFile, workers: int):  # type: ignore[no-untyped-def]
        return image_batches(entries, of, encoder.transform, workers, pin=device.type == "cuda")

    with tempfile.TemporaryDirectory() as folder:
        numbers = list(range(part(folder).batches))
        held = [images for _, images, _ in reader(part(folder), 0)(numbers)]
    found: dict[str, list[tuple[float, float]]] = {"in memory": [], "extract": []}

    def measure(name: str, action) -> None:  # type: ignore[no-untyped-def]
        before = time.perf_counter(), sum(os.times()[:2])
        action()
        after = time.perf_counter(), sum(os.times()[:2])
        found[name].append(tuple(b - a for a, b in zip(before, after, strict=True)))  # type: ignore[arg-type]

    def in_memory() -> None:
        with torch.no_grad():
            for images in held:
                encode(images).cpu()

    def extract() -> None:
        with tempfile.TemporaryDirectory() as folder:
            of = part(folder)
            encode_part(of, reader(of, options.workers), encode, str, processes)

    in_memory()
    for _ in range(options.repeat):
        measure("in memory", in_memory)
        measure("extract", extract)
    rates = {}
    for name, times in found.items():
        rates[name] = [
            len(entries) / statistics.median(column) for column in zip(*times, strict=True)
        ]
        wall, processor = rates[name]
        print(f"{name:<10} {wall:8.1f} images/s   {processor:8.1f} a second of the process")
    ratios = [b / a for a, b in zip(rates["in memory"], rates["extract"], strict=True)]
    print(f"ratio      {ratios[0]:8.2f}            {ratios[1]:8.2f}")


if __name__ == "__main__":
    main()
