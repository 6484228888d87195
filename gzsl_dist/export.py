"""Export a finished run's model as one file: ``python -m gzsl_dist.export``.

A .safetensors file is read by ``gzsl_dist.load``; an .onnx file by any ONNX runtime: input
``features`` (rows x d_x, as extracted), output ``probabilities`` (rows x classes), the classes'
names in its metadata. With --add-classes or --add-class the model knows new classes for good.
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
        "--out", required=True, type=Path, help="to write: .safetensors, or .onnx (needs onnx)"
    )
    add_class_arguments(parser)
    options = parser.parse_args(arguments)

    from gzsl_dist.errors import InputError
    from gzsl_dist.inference.model import load_model
    from gzsl_dist.inference.new_classes import model_with_classes

    if options.out.suffix not in (".safetensors", ".onnx"):
        raise InputError(f"--out {options.out}: must end in .safetensors or .onnx")
    model = model_with_classes(load_model(options.run), options)
    if options.out.suffix == ".onnx":
        from gzsl_dist.inference.onnx_file import write_onnx

        write_onnx(model, options.out)
    else:
        model.save(options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {len(model.classes)} classes, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
