"""Export a finished run's model: ``python -m gzsl_dist.export``.

A .safetensors file is read by ``gzsl_dist.load``; an .onnx file by any ONNX runtime: input
``features`` (rows x d_x, as extracted), output ``probabilities`` (rows x classes), the classes'
names in its metadata. With --add-classes or --add-class the model knows new classes for good.

A folder carries the generator and the training rows along: whoever has it can add classes, without
the run and its data. ``predict``, ``export`` and ``gzsl_dist.load`` take it as a run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gzsl_dist.command import CommandParser, add_run_argument, run_command
from gzsl_dist.inference.arguments import add_class_arguments


def main(arguments: list[str]) -> int:
    """Export as the command line says."""
    parser = CommandParser(prog="python -m gzsl_dist.export", description=__doc__)
    add_run_argument(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="to write: .safetensors, .onnx (needs onnx), or a new folder",
    )
    add_class_arguments(parser)
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.inference.carried import check_folder, write_carried
    from gzsl_dist.inference.load import load_model
    from gzsl_dist.inference.new_classes import named_classes, with_classes

    out = options.out
    if out.suffix not in (".safetensors", ".onnx", ""):
        raise InputError(
            f"--out {out}: must end in .safetensors or .onnx; a folder's name has no ending"
        )
    if not out.suffix:
        check_folder(out)
    known = load_model(options.run)
    names, semantics = named_classes(known, options)
    model = with_classes(known, names, semantics)
    if not out.suffix:
        if known.run is None:
            raise InputError(
                f"--run {options.run}: is a model alone; a folder is made of a run directory"
            )
        write_carried(known.run, model, names, semantics, out)
        print(f"{out}: {len(model.classes)} classes, and all that new ones take")
        return 0
    if out.suffix == ".onnx":
        from gzsl_dist.inference.onnx_file import write_onnx

        write_onnx(model, out)
    else:
        model.save(out)
    size = out.stat().st_size / 1e6
    print(f"{out}: {len(model.classes)} classes, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
