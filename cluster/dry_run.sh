# shellcheck shell=bash
# Sourced by job.sh: --dry-run, outside Slurm or in a job.
# shellcheck disable=SC2154  # job.sh sets what is read here

dry_run() { # ARGUMENTS: what would run, and what is missing; ends the script
    local missing=() run_dir=""
    grep '^#SBATCH' "$script" | sed 's/^#SBATCH/sbatch      /'
    echo "environment  $environment"
    if [ -n "$install" ]; then
        : # `verdict` says so
    elif ask_gzsl gzsl_dist.job "${arguments[@]}"; then
        run_dir="$answer"
    else
        missing+=("$answer")
    fi
    echo "run          ${run_dir:-unknown}"
    echo "a node runs  $processes process(es), by this machine; in a job one for each GPU, else CPU"
    echo "command      ${launch[*]} $*${run_dir:+ --run.dir $run_dir}"
    verdict
}

verdict() { # ends a dry run: what of `missing`, environment, Slurm and log is missing, last of all
    local reply
    [ -z "$install" ] || missing+=("an environment with gzsl_dist: bash launch/quickstart.sh makes \
$environment; else the job makes it, which needs a network")
    if ! command -v sbatch >/dev/null; then
        missing+=("Slurm on this machine: sbatch is not found")
    elif ! reply="$(sbatch --test-only "$script" 2>&1)"; then
        missing+=("a node that fits, says sbatch --test-only: $(tail -n 1 <<<"$reply")")
    else
        echo "slurm        $reply"
    fi
    [ -w "$submitted_from" ] || missing+=("a writable folder for the log: $submitted_from is none")
    [ "${#missing[@]}" -gt 0 ] || {
        echo "nothing is missing"
        exit 0
    }
    printf 'missing      %s\n' "${missing[@]}" >&2
    exit 2
}
