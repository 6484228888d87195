#!/usr/bin/env bash
# What the tests on a real Slurm need, and shellcheck. In CI (CI set, root, apt) it installs them;
# on a user's machine it leaves things as they are, and those tests skip and say why.
set -euo pipefail

have() {
    local program
    for program in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || return 1
    done
}

if [ -n "${CI:-}" ] && ! have sbatch slurmctld slurmd munged shellcheck; then
    if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
        echo "error: CI needs slurm-wlm, munge and shellcheck; install them beforehand" >&2
        exit 2
    fi
    log="$(mktemp)"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get -o DPkg::Lock::Timeout=120 install --yes \
        --no-install-recommends slurm-wlm munge shellcheck; } >"$log" 2>&1 </dev/null; then
        echo "error: apt-get could not install slurm-wlm, munge and shellcheck: $(tail -n 1 "$log")" >&2
        exit 2
    fi
    rm -f "$log"
fi
