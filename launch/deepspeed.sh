#!/usr/bin/env bash
# Train by DeepSpeed on all GPUs of this machine, or on PROCESSES processes, with ZERO=0|1|2|3:
#   ZERO=2 launch/deepspeed.sh --config FILE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment deepspeed
# The launcher's own default port is the same for every job of a machine.
port="${MASTER_PORT:-$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}"
exec deepspeed --num_accelerators "${PROCESSES:--1}" --master_port "$port" --module gzsl_dist.train \
    --train.strategy deepspeed --train.zero_stage "${ZERO:-1}" "$@"
