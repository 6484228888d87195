"""Check what a cluster job is about to run, before it takes the GPUs: ``python -m gzsl_dist.job``.

Takes the trainer's own options. Prints the run directory; wrong settings, missing data, missing
packages and a run directory of another run end it with exit code 2 and one line. With
--choose-config, it prints the first of these configuration files whose data are there, or the
first. `cluster/job.sh` calls it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, run_command
from gzsl_dist.config import EMBEDDED
from gzsl_dist.config.command_line import (
    add_setting_arguments,
    config_from_arguments,
    setting_fields,
)
from gzsl_dist.config.files import check_start, check_writable, read_settings
from gzsl_dist.config.run_names import run_name
from gzsl_dist.errors import InputError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def main(arguments: list[str]) -> int:
    """Check as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.job", description=__doc__)
    parser.usage = "%(prog)s [--config FILE] [--section.key VALUE ...]"
    add_setting_arguments(parser)
    parser.add_argument("--choose-config", metavar="FILE", nargs="+", help="choose a configuration")
    verifies = os.environ.get("GZSL_MODULE") == "gzsl_dist.verify"
    if verifies:  # whose own option this is
        parser.add_argument("--json", action="store_true", help="print the table as JSON")
    known, unknown = parser.parse_known_args(arguments)
    if known.choose_config:
        print(choose_config(known.choose_config))
        return 0
    config = config_from_arguments(known, unknown)
    names = {name for name, _ in setting_fields()}
    given = {name: str(value) for name, value in vars(known).items() if name in names}
    if "run.dir" in given or (known.config and _names_its_directory(known.config)):
        directory = config.run_dir
    else:
        directory = Path("runs") / run_name(Path(known.config or EMBEDDED).stem, given)
    check_packages(config.train.strategy)
    check_data(config.data.path)
    if verifies:
        check_writable(directory)
    else:
        check_start(directory, config)
    print(directory)
    return 0


def choose_config(files: list[str]) -> str:
    """The first of these configuration files whose data are there, else the first.

    Raises:
        InputError: a file is no configuration.
    """
    for file in files:
        data = read_settings(Path(file)).get("data")
        path = data.get("path", EMBEDDED) if isinstance(data, dict) else EMBEDDED
        if path == EMBEDDED or Path(path).exists():
            return file
    return files[0]


def check_packages(strategy: str) -> None:
    """See that what the trainer imports is installed.

    Raises:
        InputError: a package is missing.
    """
    needed = ["torch", "h5py", "scipy", "sklearn", "tensorboard", "safetensors"]
    if strategy == "deepspeed":
        needed.append("deepspeed")
    for name in needed:
        if importlib.util.find_spec(name) is None:
            extra = "[deepspeed]" if name == "deepspeed" else ""
            raise InputError(
                f"{sys.executable}: package {name} is not installed; "
                f"{sys.executable} -m pip install -e '.{extra}' in the clone"
            )


def check_data(path: str) -> None:
    """See that the data file is there and is an HDF5 file; the trainer checks what is in it.

    Raises:
        InputError: it is not.
    """
    if path == EMBEDDED:
        return
    try:
        with open(path, "rb") as file:
            start = file.read(len(HDF5_SIGNATURE))
    except OSError as error:
        raise InputError(
            f"data.path {path}: cannot be read ({error.strerror}), seen from {os.getcwd()}; make "
            "it by python -m gzsl_dist.prepare, or name another with --data.path"
        ) from None
    if start != HDF5_SIGNATURE:
        raise InputError(f"data.path {path}: no HDF5 file; make it by python -m gzsl_dist.prepare")


def _names_its_directory(file: str) -> bool:
    section = read_settings(Path(file)).get("run")
    return isinstance(section, dict) and section.get("dir") is not None


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
