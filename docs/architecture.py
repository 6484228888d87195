"""Draw docs/architecture.png: the layers that pyproject.toml's contracts hold, with their lines.

    python docs/architecture.py

A folder imports only from layers below its own; ``lint-imports``, in the test command, sees to it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, GAP = 100.0, 1.0, 0.25
COLORS = ("#dbe9f6", "#e8f3e1")


def layers() -> list[list[str]]:
    """Names of the package's parts, from the topmost layer down."""
    contract = (ROOT / "pyproject.toml").read_text().split("layers = [")[1].split("]")[0]
    return [
        [name.strip().removeprefix("gzsl_dist.") for name in line.split("|")]
        for line in re.findall(r'"(.+?)"', contract)
    ]


def lines(name: str) -> int:
    """Lines of Python of a folder or a file of the package."""
    path = ROOT / "gzsl_dist" / name
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return sum(len(file.read_text().splitlines()) for file in files)


def purpose(name: str) -> str:
    """The first sentence of a part's docstring, without its end."""
    path = ROOT / "gzsl_dist" / name
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return re.split(r"\.(?:\s|$)", docstring)[0].replace("\n", " ").replace("``", "")


def main() -> None:
    """Draw a box a part, a row a layer."""
    floors = layers()
    figure, axes = plt.subplots(figsize=(10, 0.6 * len(floors) + 0.4))
    for floor, names in enumerate(reversed(floors)):
        bottom = floor * (HEIGHT + GAP)
        is_commands = len(names) > 6
        rooms = [", ".join(names)] if is_commands else names
        for place, room in enumerate(rooms):
            width = WIDTH / len(rooms)
            box = plt.Rectangle(
                (place * width + 0.4, bottom), width - 0.8, HEIGHT,
                facecolor=COLORS[floor % 2], edgecolor="#666666", linewidth=0.8,
            )  # fmt: skip
            axes.add_patch(box)
            text = f"commands: {room}" if is_commands else f"{room}   {lines(room):,}"
            note = "a file each" if is_commands else textwrap.fill(purpose(room), 110 // len(rooms))
            center = (place + 0.5) * width
            size = 6.5 if is_commands else 9
            axes.text(center, bottom + 0.7 * HEIGHT, text, ha="center", va="center", size=size)
            axes.text(
                center, bottom + 0.28 * HEIGHT, note, ha="center", va="center", size=6.5,
                color="#444444",
            )  # fmt: skip
    axes.annotate(
        "imports", (-3, 0), (-3, len(floors) * (HEIGHT + GAP) - GAP), ha="center", va="center",
        size=9, rotation=90, arrowprops={"arrowstyle": "->", "color": "#666666"},
    )  # fmt: skip
    axes.set_xlim(-6, WIDTH + 1)
    axes.set_ylim(-0.3, len(floors) * (HEIGHT + GAP) + 0.2)
    axes.axis("off")
    figure.tight_layout(pad=0.2)
    figure.savefig(ROOT / "docs" / "architecture.png", dpi=110)


if __name__ == "__main__":
    main()
