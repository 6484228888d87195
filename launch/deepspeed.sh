#!/usr/bin/env bash
# Train by DeepSpeed on all GPUs of this machine, or on PROCESSES processes, with ZERO=0|1|2|3:
#   ZERO=2 launch/deepspeed.sh --config FILE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment deepspeed
exec torchrun --standalone --nproc_per_node="${PROCESSES:-auto}" -m gzsl_dist.train \
    --train.strategy deepspeed --train.deepspeed_config "$here/configs/deepspeed/zero${ZERO:-1}.yaml" "$@"
