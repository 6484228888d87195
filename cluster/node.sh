#!/usr/bin/env bash
# One node's launcher, started by srun in job.sh: node.sh PYTHON... -m torch.distributed.run, without
# torchrun's options, is followed by the trainer's arguments.
set -euo pipefail

launcher=()
while [ "$1" != torch.distributed.run ]; do
    launcher+=("$1")
    shift
done
shift

# torchrun does not pass this signal on but dies of it (pytorch issue 154849). Ignored signals stay
# ignored in a child until it sets a handler: torchrun never does, the trainer does.
trap '' "$GZSL_SIGNAL"
# From here on: job.sh passes signals on when all nodes have this file. A node that cannot write it,
# as where the run directory is the first node's alone, still trains.
[ -z "${GZSL_OUTCOME_FILE:-}" ] || { : >"$GZSL_OUTCOME_FILE.node-$SLURM_NODEID"; } 2>/dev/null || true

# torchrun would announce this machine's full host name, which other nodes need not be able to look
# up; and find out by comparing names whether it hosts the meeting point. Slurm knows both.
address="$(scontrol -o show node "$SLURMD_NODENAME" 2>/dev/null | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p' || true)"
[ "$SLURM_NODEID" -eq 0 ] && host=true || host=false

exec "${launcher[@]}" torch.distributed.run --nnodes="$GZSL_NODES" --nproc-per-node="$GZSL_PROCESSES" \
    --max-restarts="$GZSL_MAX_RESTARTS" --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" \
    --rdzv-endpoint="$GZSL_MASTER_ADDR:$GZSL_MASTER_PORT" --rdzv-conf="is_host=$host" \
    --local-addr="${address:-$(hostname)}" -m "${GZSL_MODULE:-gzsl_dist.train}" "$@"
