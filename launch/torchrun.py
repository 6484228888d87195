"""torchrun that ends after Ctrl-C without a traceback of its own: ``python launch/torchrun.py``.

The training's last line says what was saved. Exit code 128 and the signal's number, as of a shell.
"""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.run import main

if __name__ == "__main__":
    try:
        main()
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
