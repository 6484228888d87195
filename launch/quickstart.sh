#!/usr/bin/env bash
# Install, train the embedded data set on two processes, print U, S and H. About two minutes after
# the installation. Further arguments go to the trainer, for example --train.seed 1.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
cd "$here"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python3 launch/torchrun.py --standalone --nproc_per_node=2 -m gzsl_dist.train --config configs/digits.yaml "$@"
