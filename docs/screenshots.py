"""Pictures of the report (and of any page) by headless Chromium, for docs/ and to look at.

    python docs/screenshots.py report.html --out docs/report.png
    python docs/screenshots.py report.html --out phone.png --width 390 --dark --whole

Chromium comes from the system (`apt-get install chromium`). Of TensorBoard, give its address
instead of a file, and `--wait` for it to draw.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
TALLEST = 16000
SMALLEST_WINDOW = 500  # a narrower one is drawn at this width: the page goes into a frame


def main(arguments: list[str]) -> int:
    """Take one picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", help="HTML file, or an address")
    parser.add_argument("--out", required=True, type=Path, help="PNG to write")
    parser.add_argument("--width", type=int, default=1280, metavar="PIXELS")
    parser.add_argument("--height", type=int, default=1000, metavar="PIXELS")
    parser.add_argument("--top", type=int, default=0, metavar="PIXELS", help="scrolled down so far")
    parser.add_argument("--dark", action="store_true", help="as in dark mode")
    parser.add_argument("--whole", action="store_true", help="the whole page, not its first screen")
    parser.add_argument("--wait", type=int, default=0, metavar="SECONDS", help="for it to draw")
    options = parser.parse_args(arguments)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("error: no Chromium here; apt-get install chromium", file=sys.stderr)
        return 2
    file = Path(options.page)
    address = file.resolve().as_uri() if file.exists() else options.page
    height = TALLEST if options.whole else options.height
    wait = [f"--virtual-time-budget={1000 * options.wait}"] if options.wait else []
    with tempfile.TemporaryDirectory() as folder:
        if options.width < SMALLEST_WINDOW or options.top:
            address = framed(address, options.width, height, options.top, Path(folder))
        subprocess.run(
            [
                browser, *QUIET, *([DARK] if options.dark else []),
                f"--user-data-dir={folder}/profile", *wait,
                f"--window-size={max(options.width, SMALLEST_WINDOW)},{height}",
                f"--screenshot={options.out.resolve()}", address,
            ],
            check=True, stderr=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
    if options.whole or options.width < SMALLEST_WINDOW:
        trim(options.out, options.width, options.whole)
    print(options.out)
    return 0


def framed(address: str, width: int, height: int, top: int, folder: Path) -> str:
    """A page that shows another one in a frame, of the asked width and scrolled down."""
    page = folder / "frame.html"
    page.write_text(
        f'<body style="margin:0;overflow:hidden"><iframe src="{address}" style="border:0;'
        f'margin-top:-{top}px" width="{width}" height="{height + top}"></iframe></body>'
    )
    return page.as_uri()


def trim(path: Path, width: int, whole: bool) -> None:
    """Cut off what is right of the page, and empty lines below it."""
    import numpy as np
    from matplotlib.image import imread, imsave

    picture = imread(path)[:, :width]
    if whole:
        filled = np.flatnonzero((picture != picture[-1:]).any(axis=(1, 2)))
        picture = picture[: filled.max(initial=0) + 20]
    imsave(path, picture)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
