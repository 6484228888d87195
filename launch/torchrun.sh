#!/usr/bin/env bash
# Train on all GPUs of this machine, or on PROCESSES processes: launch/torchrun.sh --config FILE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
exec python3 "$here/launch/torchrun.py" --standalone --nproc_per_node="${PROCESSES:-auto}" -m gzsl_dist.train "$@"
