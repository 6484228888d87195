# shellcheck shell=bash
# The body of every job in this folder. The .sbatch files set `clone` and `script`, source this file
# and call `train_job` or `sweep_job`. What a user can set is in docs/slurm.md.
#
#   environment    GZSL_VENV, GZSL_CONDA, GZSL_MODULES, GZSL_CONTAINER; else .venv in the clone, the
#                  python3 at hand if it has the package, or a new .venv in the clone
#   processes      PROCESSES a node; else the GPUs of the allocation; else its CPUs, at most 4
#   configuration  CONFIG, or --config FILE among the arguments; --run.dir DIR as well
#   stopping       GZSL_SIGNAL (USR1; as in --signal=B:USR1@120), GZSL_MAX_REQUEUES (20)
#   module         GZSL_MODULE, what the processes run (gzsl_dist.train; some files set their own)
#   launching      GZSL_SRUN_OPTIONS, GZSL_MAX_RESTARTS (0), GZSL_MASTER_ADDR, GZSL_MASTER_PORT
set -uo pipefail

# First of all: a signal that comes before this line kills the job. Steps of Slurm get signals of
# their own; the shell's SIGTERM is noted so that it outlives its trainers and reports how they ended.
signal="${GZSL_SIGNAL:-USR1}"
signal="${signal#SIG}"
stop_wanted=""
if ! trap 'stop_wanted=1' "$signal" TERM 2>/dev/null; then
    echo "error: GZSL_SIGNAL = $signal: no signal that can be caught; such as USR1" >&2
    exit 2
fi

: "${clone:?} ${script:?}"
submitted_from="$PWD"
source "$clone/cluster/environment.sh"
source "$clone/cluster/dry_run.sh"

fail() { # CODE TEXT: the one-line reason, last in the log
    local mark="error: "
    [ "$1" -ne 75 ] || mark="" # stopped after saving
    echo "$mark$2" >&2
    exit "$1"
}

# --- what to run -------------------------------------------------------------------------------

in_job() { [ -n "${SLURM_JOB_ID:-}" ] && [ -n "${SLURM_JOB_NODELIST:-}" ]; }

wants_dry_run() { case " $* " in *" --dry-run "*) true ;; *) false ;; esac }

need_job() { # outside Slurm, say how to get into it
    in_job && return
    command -v sbatch >/dev/null || fail 2 "no Slurm on this machine (sbatch is not found); \
launch/torchrun.sh trains without it"
    fail 2 "this is no Slurm job: sbatch cluster/$(basename "$script"); with --dry-run it prints what \
would run"
}

choose_config() { # DEFAULT...: sets `config` to the first whose data are there, else the first
    config="$1"
    [ -z "$install" ] || return 0 # no environment that could read them
    ask_gzsl gzsl_dist.job --choose-config "$@" || fail 2 "$answer"
    config="$answer"
}

# --- launching ---------------------------------------------------------------------------------

count_processes() {
    local cpus gpus devices device
    cpus="${SLURM_CPUS_ON_NODE:-$(nproc)}"
    gpus="${SLURM_GPUS_ON_NODE:-}"
    if [ -z "$gpus" ]; then
        # Devices behind one that is none do not count for CUDA either; Slurm sets NoDevFiles.
        IFS=, read -ra devices <<<"${CUDA_VISIBLE_DEVICES:-}"
        gpus=0
        for device in "${devices[@]}"; do
            [[ "$device" =~ ^([0-9]+|GPU-.*|MIG-.*)$ ]] || break
            gpus=$((gpus + 1))
        done
    fi
    processes="${PROCESSES:-}"
    if [ -z "$processes" ]; then
        processes="$gpus"
        [ "$gpus" -gt 0 ] || processes="$((cpus < 4 ? cpus : 4))"
    fi
    [[ "$processes" =~ ^[1-9][0-9]*$ ]] || fail 2 "PROCESSES = $processes: must be 1 or more"
    local name
    for name in GZSL_MAX_REQUEUES GZSL_MAX_RESTARTS GZSL_MASTER_PORT; do
        [[ "${!name:-0}" =~ ^[0-9]+$ ]] || fail 2 "$name = ${!name}: must be a whole number"
    done
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cpus > processes ? cpus / processes : 1))}"
    if [ "$gpus" -eq 0 ]; then
        devices_told="CPUs (gloo), $OMP_NUM_THREADS thread(s) each"
        if in_job && sinfo -h -p "${SLURM_JOB_PARTITION:-}" -o %G 2>/dev/null | grep -q gpu; then
            echo "note: partition $SLURM_JOB_PARTITION has GPUs and this job asked for none;" \
                "sbatch --gpus-per-node=N"
        fi
    else
        devices_told="$gpus GPU(s) (NCCL)"
    fi
}

node_address() { # NODE: where Slurm itself reaches it, which need not be its name
    local address
    address="$(scontrol -o show node "$1" 2>/dev/null | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')"
    echo "${address:-$1}"
}

free_port() { # PORT: it, or the next that nobody listens on here, the first node
    local port="$1"
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

srun_command() { # fills `launch`
    local first
    export GZSL_NODES="${SLURM_JOB_NUM_NODES:-1}" GZSL_PROCESSES="$processes" GZSL_SIGNAL="$signal"
    export GZSL_MAX_RESTARTS="${GZSL_MAX_RESTARTS:-0}"
    if in_job; then
        first="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
        export GZSL_MASTER_ADDR="${GZSL_MASTER_ADDR:-$(node_address "$first")}"
        export GZSL_MASTER_PORT="${GZSL_MASTER_PORT:-$(free_port $((10000 + SLURM_JOB_ID % 20000)))}"
    fi
    # One launcher a node. --export: sbatch --export=NONE would reach srun too.
    launch=(srun --nodes="$GZSL_NODES" --ntasks="$GZSL_NODES" --ntasks-per-node=1 --export=ALL
        --kill-on-bad-exit=1 "${container[@]}")
    # Since 22.05 srun forgets --cpus-per-task, and may bind all processes of a node to one core.
    if scontrol show config 2>/dev/null | grep -q '^TaskPlugin .*\(affinity\|cgroup\)'; then
        launch+=(--cpu-bind=none)
    fi
    # shellcheck disable=SC2206  # several options, with spaces
    launch+=(${GZSL_SRUN_OPTIONS:-})
    launch+=(bash "$clone/cluster/node.sh")
    [ "${#container[@]}" -gt 0 ] || launch+=("${prefix[@]}")
    launch+=("$interpreter" -m torch.distributed.run)
}

code=0
reason=""

all_nodes_started() { # whether node.sh runs on every node: a signal before that would kill the step
    local node
    [ -e "$outcome.node-0" ] || return
    # Files of other nodes are not seen where storage is not shared, or are seen late.
    first_seen="${first_seen:-$SECONDS}"
    [ $((SECONDS - first_seen)) -lt 20 ] || return 0
    for ((node = 1; node < GZSL_NODES; node++)); do
        [ -e "$outcome.node-$node" ] || return
    done
}

run_training() { # RUN_DIR ARGUMENTS of the trainer: sets code and reason
    local run_dir="$1"
    shift
    mkdir -p "$run_dir" || fail 2 "run directory $run_dir cannot be made; name another with --run.dir"
    run_processes "$run_dir" "$@" --run.dir "$run_dir"
}

run_processes() { # FOLDER ARGUMENTS: how they end is written to the folder; sets code and reason
    local outcome step asked="" first_seen="" status=0
    outcome="$1/.outcome-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"
    shift
    rm -f "$outcome" "$outcome".node-*
    GZSL_OUTCOME_FILE="$outcome" "${launch[@]}" "$@" &
    step=$!
    while kill -0 "$step" 2>/dev/null; do
        if [ -z "$stop_wanted" ]; then
            # returns at once when a trapped signal comes; a foreground srun would delay the trap
            wait "$step"
        else
            [ -n "$asked" ] || echo "signal received: asking the trainers to save and stop"
            asked=1
            # Again and again: while the trainers still start, it is ignored.
            ! all_nodes_started || kill -s "${step_signal:-$signal}" "$step" 2>/dev/null
            sleep 2
        fi
    done
    wait "$step" || status=$?
    rm -f "$outcome".node-*
    if [ -s "$outcome" ]; then
        { read -r code && read -r reason; } <"$outcome"
        rm -f "$outcome"
    elif [ "$status" -eq 0 ]; then
        code=0 reason=""
    else
        code=1
        reason="the trainers ended without a word (srun: $status): killed, out of memory, or a node \
died; see the lines above"
    fi
}

in_seconds() { # [D-]HH:MM:SS
    local days=0 hours minutes seconds clock="$1"
    [[ "$clock" != *-* ]] || { days="${clock%%-*}" && clock="${clock#*-}"; }
    IFS=: read -r hours minutes seconds <<<"$clock"
    echo $((((days * 24 + 10#$hours) * 60 + 10#$minutes) * 60 + 10#$seconds))
}

at_time_limit() { # JOB: whether what is left of its time limit is short, as --signal warns
    local used limit
    read -r used limit < <(scontrol -o show job "$1" |
        sed -n 's/.*RunTime=\([^ ]*\) TimeLimit=\([^ ]*\).*/\1 \2/p')
    [[ "${limit:-}" == *:*:* ]] || return 1 # unlimited
    [ $(($(in_seconds "$limit") - $(in_seconds "$used"))) -le $(($(in_seconds "$used") + 180)) ]
}

conclude() { # end the job by code and reason; requeue it where that helps
    local job restarts state limit
    [ "$code" -ne 0 ] || exit 0
    [ "$code" -eq 75 ] || fail "$code" "$reason"
    # The number of an array's first element is that of the whole array.
    job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
    job="${job:-$SLURM_JOB_ID}"
    restarts="${SLURM_RESTART_COUNT:-0}" limit="${GZSL_MAX_REQUEUES:-20}"
    state="$(scontrol -o show job "$job" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')"
    # Cancelled by the user, or requeued by Slurm itself: both need no help.
    [ "$state" = RUNNING ] || fail 75 "$reason (the job is $state)"
    # Once may be a slow start, of cold caches; twice is no accident.
    if [ "$restarts" -gt 0 ] && [[ "$reason" == *"the only one of this start"* ]] &&
        at_time_limit "$job"; then
        fail 2 "$reason; not requeued: the time limit is shorter than start-up plus the grace of \
--signal, each start made one step only; give more --time"
    fi
    [ "$restarts" -lt "$limit" ] || fail 75 "$reason; not requeued, after $restarts requeues \
(GZSL_MAX_REQUEUES=$limit)"
    echo "requeueing (${restarts} before): $reason"
    scontrol requeue "$job" || fail 75 "$reason; Slurm refuses to requeue"
    exit 75
}

# --- the kinds of jobs ---------------------------------------------------------------------

prepare_job() { # ARGUMENTS
    cd "$clone" || fail 2 "clone $clone: cannot be entered from $(hostname)"
    find_environment "$@"
    count_processes
    srun_command
}

train_job() { # [DEFAULT_CONFIG...] -- ARGUMENTS
    local defaults=() arguments=() argument given_config="" config run_dir
    while [ "$1" != -- ]; do
        defaults+=("$1")
        shift
    done
    shift
    wants_dry_run "$@" || need_job
    prepare_job "$@"
    for argument in "$@"; do
        [ "$argument" = --dry-run ] || arguments+=("$argument")
        case "$argument" in --config | --config=*) given_config=1 ;; esac
    done
    if [ -z "$given_config" ]; then
        config="${CONFIG:-}"
        [ -n "$config" ] || [ "${#defaults[@]}" -eq 0 ] || choose_config "${defaults[@]}"
        [ -z "$config" ] || arguments=(--config "$config" "${arguments[@]}")
    fi
    [ "$signal" = USR1 ] || arguments+=(--train.stop_signals "SIGTERM,SIG$signal")
    if wants_dry_run "$@"; then
        dry_run "${arguments[@]}"
    fi
    ask_gzsl gzsl_dist.job "${arguments[@]}" || fail 2 "$answer"
    run_dir="$answer"
    echo "$(date -Iseconds) job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)):" \
        "$GZSL_NODES node(s) x $processes process(es) on $devices_told; $environment; $run_dir"
    run_training "$run_dir" "${arguments[@]}"
    conclude
}

run_job() { # ARGUMENTS of a command on a finished run, --run DIR among them
    local arguments=() run_dir="" step_signal=TERM # these commands end at once, and lose no part
    local missing=() dry=""
    ! wants_dry_run "$@" || dry=1
    [ -n "$dry" ] || need_job
    prepare_job "$@"
    while [ $# -gt 0 ]; do
        case "$1" in
        --run | --run.dir) run_dir="${2:-}" && shift ;;
        --run=* | --run.dir=*) run_dir="${1#*=}" ;;
        --dry-run) ;;
        *) arguments+=("$1") ;;
        esac
        shift || break
    done
    [ -n "$run_dir" ] || fail 2 "no run given: sbatch cluster/$(basename "$script") --run runs/NAME"
    [ -e "$run_dir/config.yaml" ] || fail 2 "--run $run_dir: no run directory, seen from $PWD"
    [ -z "$dry" ] || tell_command "${arguments[@]}" --run.dir "$run_dir"
    echo "$(date -Iseconds) job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)):" \
        "$GZSL_NODES node(s) x $processes process(es) on $devices_told; $environment; $run_dir"
    run_training "$run_dir" "${arguments[@]}"
    if [ "$code" -ne 0 ] && [ -n "$stop_wanted" ]; then
        code=75 reason="stopped by a signal; the same command resumes"
    fi
    conclude
}

tell_command() { # ARGUMENTS: the end of a dry run of anything but a training
    echo "environment  $environment"
    echo "a node runs  $processes process(es), by this machine; in a job one for each GPU, else CPU"
    echo "command      ${launch[*]} $*"
    verdict
}

command_job() { # ARGUMENTS of GZSL_MODULE, which saves and stops as training does
    local arguments=() argument missing=()
    wants_dry_run "$@" || need_job
    prepare_job "$@"
    for argument in "$@"; do
        [ "$argument" = --dry-run ] || arguments+=("$argument")
    done
    if wants_dry_run "$@"; then
        if [ "${GZSL_MODULE:-}" = gzsl_dist.search ] && [ -z "$install" ]; then
            ask_gzsl gzsl_dist.search "${arguments[@]}" --print-config || missing+=("$answer")
        fi
        tell_command "${arguments[@]}"
    fi
    echo "$(date -Iseconds) job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)):" \
        "$GZSL_NODES node(s) x $processes process(es) on $devices_told; $environment"
    run_processes "$submitted_from" "${arguments[@]}"
    conclude
}

sweep_job() { # SWEEP.yaml: this element's share of the tasks, one after the other
    local file="${1:-}" count total index failures=0 first_reason="" arguments run_dir
    wants_dry_run "$@" || need_job
    if [ -z "$file" ] || [ "$file" = --dry-run ]; then
        fail 2 "no sweep file given: sbatch cluster/sweep.sbatch configs/sweeps/digits.yaml"
    fi
    prepare_job "$@"
    [ -z "$install" ] || fail 2 "no environment with gzsl_dist; the job would make $environment"
    if wants_dry_run "$@"; then
        ask_gzsl gzsl_dist.sweep plan "$file" || fail 2 "$answer"
        echo "$answer"
        exit
    fi
    ask_gzsl gzsl_dist.sweep count "$file" || fail 2 "$answer"
    total="$answer"
    count="${SLURM_ARRAY_TASK_COUNT:-1}"
    index="$(((${SLURM_ARRAY_TASK_ID:-0} - ${SLURM_ARRAY_TASK_MIN:-0}) / ${SLURM_ARRAY_TASK_STEP:-1}))"
    for (( ; index < total; index += count)); do
        ask_gzsl gzsl_dist.sweep task "$file" "$index" || fail 2 "$answer"
        mapfile -t arguments <<<"$answer"
        run_dir="${arguments[0]}"
        if [ -e "$run_dir/result.json" ]; then
            echo "task $index of $total: $run_dir: done already, skipped"
            continue
        fi
        echo "task $index of $total: $run_dir"
        [ "$signal" = USR1 ] || arguments+=(--train.stop_signals "SIGTERM,SIG$signal")
        [ -z "$stop_wanted" ] || { code=75 reason="stopped by a signal between tasks" && conclude; }
        run_training "$run_dir" "${arguments[@]:1}"
        case "$code" in
        0) ;;
        75) conclude ;;
        *)
            failures=$((failures + 1))
            echo "error: $run_dir: $reason" >&2
            first_reason="${first_reason:-$run_dir: $reason}"
            ;;
        esac
    done
    [ "$failures" -eq 0 ] || fail 1 "$failures task(s) failed, the first: $first_reason"
}
