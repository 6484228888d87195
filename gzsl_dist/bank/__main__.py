"""Look at banks: ``python -m gzsl_dist.bank info|verify|head|merge BANK``.

info    what it holds and was made from, and the range of its values
verify  reads all of it and compares checksums; finds a single flipped bit
head    class and first values of the first rows
merge   writes banks of one run (or one bank of many shards) anew as one bank
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, positive_integer, run_command
from gzsl_dist.errors import InputError


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.bank", description=__doc__)
    parser.add_argument("action", choices=("info", "verify", "head", "merge"))
    parser.add_argument("banks", metavar="BANK", nargs="+", type=Path, help="file of a bank")
    parser.add_argument("--rows", type=positive_integer, default=5, help="head: rows to show")
    parser.add_argument("--per-class", action="store_true", help="info: rows of every class")
    parser.add_argument(
        "--quick", action="store_true", help="info: do not read the features for their range"
    )
    parser.add_argument("--out", type=Path, help="merge: the bank to write")
    parser.add_argument("--shards", type=positive_integer, default=1, help="merge: files to write")
    parser.add_argument("--overwrite", action="store_true", help="merge: replace an existing bank")
    options = parser.parse_args(arguments)
    if options.action == "merge":
        return _merge(options)
    if len(options.banks) > 1:
        raise InputError(f"{options.action}: takes one bank, not {len(options.banks)}; name one")
    bank = options.banks[0]
    if options.action == "info":
        _info(bank, options)
    elif options.action == "head":
        _head(bank, options.rows)
    else:
        from gzsl_dist.bank.inspection import verify

        verify(bank)
        print(f"{bank}: as it was written")
    return 0


def _info(bank: Path, options: argparse.Namespace) -> None:
    from gzsl_dist.bank.inspection import describe, feature_values
    from gzsl_dist.bank.reader import BankReader

    print(describe(bank))
    with BankReader(bank) as reader:
        if not options.quick:
            values = feature_values(reader)
            print(
                f"     values  {values.minimum:.6g} to {values.maximum:.6g}, {values.nan} NaN, "
                f"{values.infinite} infinite"
            )
        if options.per_class:
            for name, count in reader.class_counts.items():
                print(f"{count:>11}  {name}")


def _head(bank: Path, rows: int) -> None:
    from gzsl_dist.bank.reader import BankReader

    with BankReader(bank) as reader:
        batch = reader.read(slice(0, min(rows, len(reader))))
        for inputs, label in zip(batch.inputs.float(), batch.labels.tolist(), strict=True):
            values = " ".join(f"{value:.4g}" for value in inputs[:8].tolist())
            more = " ..." if inputs.numel() > 8 else ""
            print(f"{reader.info.classes[label]}: {values}{more}")


def _merge(options: argparse.Namespace) -> int:
    if options.out is None:
        raise InputError("merge: needs --out, the bank to write")
    from gzsl_dist.bank.merge import merge_banks
    from gzsl_dist.distributed.processes import start_processes

    with start_processes("cpu") as processes:
        info = merge_banks(
            options.banks,
            options.out,
            processes,
            shards=options.shards,
            overwrite=options.overwrite,
        )
        if processes.is_main_process:
            print(f"{options.out}: {info.rows} rows of {info.width} values")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
