"""Speed and memory of banks, as ratios to plain h5py on the same disk in the same run.

    python benchmarks/bank.py --folder /some/disk [--gib 1] [--large-gib 3] [--run runs/cub_cpu]

Both sides move the same bytes in the same blocks, and both fsync once at the end, before the clock
stops; before each write, earlier dirty pages are written back (`sync`). "cold" reading follows
POSIX_FADV_DONTNEED on all files, "warm" reading comes from the page cache. Reported is the median
of the repetitions, which take turns. One process, as many threads as OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from gzsl_dist.bank.generate import BlockMaker
from gzsl_dist.bank.layout import BankInfo, to_stored
from gzsl_dist.bank.reader import BankReader
from gzsl_dist.bank.writer import write_bank
from gzsl_dist.data.scaling import Scaling
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.models.generator import Generator

ALONE = DistributedContext(0, 1, torch.device("cpu"))
GIB = 1 << 30
CLASSES = 50
BLOCK_ROWS = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("."), help="on the disk to measure")
    parser.add_argument("--gib", type=float, default=0.5, help="size of a bank")
    parser.add_argument("--large-gib", type=float, default=1.5, help="size of the large bank")
    parser.add_argument("--width", type=int, default=2048, help="d_x")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--run", type=Path, help="a trained run, for real features")
    parser.add_argument("--rows", type=int, default=20, help="rows per class of real features")
    parser.add_argument("--child", choices=("write", "read"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bank-benchmark-") as name:
        folder = Path(name)
        writing(folder, options)
        reading(folder, options)
        generating(folder, options)
        memory(folder, options)
        if options.run:
            compression(folder, options)


def toy_info(gib: float, width: int) -> BankInfo:
    rows = int(gib * GIB / (2 * width)) // CLASSES
    return BankInfo(
        dataset_name="benchmark", dataset_fingerprint="0" * 64, generator_fingerprint="0" * 64,
        embedding_fingerprint="",
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        semantics=np.ones((CLASSES, 312), np.float32), semantics_norm=None,
        scaling=Scaling("none", np.zeros(width, np.float32), np.ones(width, np.float32)),
        seed=0, step=0, labels=np.arange(CLASSES), counts=np.full(CLASSES, rows), width=width,
        embedding_width=0, dtype="float16", compression="none", block_rows=BLOCK_ROWS,
    )  # fmt: skip


def cheap(width: int) -> Callable[[slice], dict[str, Tensor]]:
    """A generator of negligible cost: always the same rows."""
    values = torch.rand(BLOCK_ROWS, width).half()
    return lambda rows: {"features": values[: rows.stop - rows.start]}


def timed(action: Callable[[], object]) -> float:
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def write_raw(path: Path, info: BankInfo, make: Callable[[slice], dict[str, Tensor]]) -> None:
    """What plain h5py does for the same bytes."""
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", (info.rows, info.width), "f2", fill_time="never")
        labels = file.create_dataset("labels", (info.rows,), "i8", fill_time="never")
        for number in range(info.block_count):
            rows = info.block(number)
            features[rows] = to_stored(make(rows)["features"], "float16")
            labels[rows] = info.labels_of(rows)
    with path.open("rb") as raw:
        os.fsync(raw.fileno())


def writing(folder: Path, options: argparse.Namespace) -> None:
    info, make = toy_info(options.gib, options.width), cheap(options.width)
    size = info.rows * info.row_bytes
    seconds: dict[str, list[float]] = {"h5py": [], "bank": []}
    for _ in range(options.repeat):
        raw = folder / "raw.h5"
        seconds["h5py"].append(timed(partial(write_raw, raw, info, make)))
        raw.unlink()
        bank = folder / "bank.h5"
        seconds["bank"].append(timed(partial(write_bank, bank, info, make, ALONE, overwrite=True)))
        if len(seconds["bank"]) < options.repeat:
            remove_banks(folder)
    tell("write, generator of negligible cost", size, seconds, 0.8)


def reading(folder: Path, options: argparse.Namespace) -> None:
    bank = folder / "bank.h5"
    with BankReader(bank) as reader:
        size = reader.info.rows * 2 * reader.info.width

        def sequential() -> None:
            with h5py.File(bank) as file:
                features = file["features"]
                for number in range(reader.info.block_count):
                    features[reader.info.block(number)]

        def shuffled(dtype: torch.dtype | None) -> None:
            for _ in reader.shuffled(256, dtype=dtype):
                pass

        for heat in ("cold", "warm"):
            seconds: dict[str, list[float]] = {"h5py": [], "bank": [], "bank, as float32": []}
            for _ in range(options.repeat):
                for name, action in (
                    ("h5py", sequential),
                    ("bank", lambda: shuffled(None)),
                    ("bank, as float32", lambda: shuffled(torch.float32)),
                ):
                    if heat == "cold":
                        forget(folder)
                    seconds[name].append(timed(action))
            tell(f"read {heat}, shuffled against h5py's sequential", size, seconds, 0.7)
    remove_banks(folder)


def generating(folder: Path, options: argparse.Namespace) -> None:
    """A generator of CE-GZSL's size, alone and with writing."""
    info = toy_info(min(options.gib, 0.125), options.width)
    maker = BlockMaker(Generator(312, 312, 4096, options.width), None, info)
    alone = timed(lambda: [maker(info.block(number)) for number in range(info.block_count)])
    both = timed(lambda: write_bank(folder / "bank.h5", info, maker, ALONE))
    remove_banks(folder)
    print(
        f"end to end, hidden 4096: {info.rows / both:.0f} rows/s, "
        f"{info.rows * info.row_bytes / both / 1e6:.0f} MB/s; generating alone "
        f"{info.rows / alone:.0f} rows/s: ratio {alone / both:.2f}"
    )


def memory(folder: Path, options: argparse.Namespace) -> None:
    for gib in (options.gib, options.large_gib):
        peaks = []
        for action in ("write", "read"):
            done = subprocess.run(
                [sys.executable, __file__, "--child", action, "--folder", folder,
                 "--gib", str(gib), "--width", str(options.width)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            peaks.append(f"{action} {int(done.stdout) / 1024:.0f} MiB")
        remove_banks(folder)
        print(f"peak resident memory, bank of {gib} GiB: {', '.join(peaks)}")


def child(options: argparse.Namespace) -> None:
    info, bank = toy_info(options.gib, options.width), options.folder / "bank.h5"
    if options.child == "write":
        write_bank(bank, info, cheap(options.width), ALONE)
    else:
        for _ in BankReader(bank).shuffled(256):
            pass
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's memory
    print(status.split("VmHWM:")[1].split()[0])


def compression(folder: Path, options: argparse.Namespace) -> None:
    """Cost and gain on features that a trained run generates."""
    from gzsl_dist.synthesize import bank_info
    from gzsl_dist.training.trained import load_run

    trained = load_run(options.run, ALONE)
    for dtype in ("float16", "float32"):
        asked = argparse.Namespace(
            classes="unseen", embeddings=False, per_class=options.rows, dtype=dtype,
            compression="none", block_rows=256, units="scaled", run=options.run,
        )  # fmt: skip
        plain = bank_info(trained, asked)
        maker = BlockMaker(trained.networks.generator, None, plain)
        made = [maker(plain.block(number)) for number in range(plain.block_count)]
        raw = plain.rows * plain.row_bytes
        zeros = float(torch.cat([block["features"] for block in made]).eq(0).float().mean())
        print(f"real features of {options.run.name}: {plain.rows} x {plain.width} {dtype}, "
              f"{zeros:.0%} zeros")  # fmt: skip
        for name in ("none", "lzf", "gzip", "zstd"):
            if name == "zstd" and not has_zstd():
                print("  zstd: hdf5plugin is not installed")
                continue
            info, bank, make = replace(plain, compression=name), folder / "bank.h5", given(made)
            write = timed(partial(write_bank, bank, info, make, ALONE))
            size = sum(file.stat().st_size for file in folder.glob("bank.*"))
            forget(folder)
            with BankReader(bank) as reader:
                read = timed(partial(list, reader.blocks(dtype=None)))
            remove_banks(folder)
            print(
                f"  {name:4}: {raw / size:5.2f} x smaller, written at {raw / write / 1e6:4.0f} "
                f"MB/s, read cold at {raw / read / 1e6:4.0f} MB/s"
            )


def given(made: list[dict[str, Tensor]]) -> Callable[[slice], dict[str, Tensor]]:
    return lambda rows: made[rows.start // 256]


def has_zstd() -> bool:
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return False
    return True


def forget(folder: Path) -> None:
    """Drop the files from the page cache."""
    os.sync()
    for file in folder.iterdir():
        with file.open("rb") as raw:
            os.posix_fadvise(raw.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remove_banks(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink() if file.is_file() else shutil.rmtree(file)


def tell(what: str, size: int, seconds: dict[str, list[float]], goal: float) -> None:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{what}, {size / GIB:.2f} GiB:")
    for name, value in medians.items():
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f} s"
        ratio = "" if name == "h5py" else f", ratio {medians['h5py'] / value:.2f} (goal {goal})"
        print(f"  {name}: {size / value / 1e6:.0f} MB/s ({spread}){ratio}")


if __name__ == "__main__":
    main()
