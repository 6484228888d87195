# shellcheck shell=bash
# Sourced by job.sh: which Python a job uses.
# shellcheck disable=SC2034,SC2154  # what is set and read here, job.sh reads and sets

prefix=()    # what comes before Python: a container's command, or nothing
container=() # options of srun for a container by pyxis
interpreter=python3
environment=""
install=""

find_environment() { # ARGUMENTS of the trainer
    if [ -n "${GZSL_MODULES:-}" ]; then
        # shellcheck disable=SC2086  # several modules, with spaces
        if ! { command -v module && module load $GZSL_MODULES; } >/dev/null; then
            fail 2 "GZSL_MODULES: module load $GZSL_MODULES failed on $(hostname)"
        fi
    fi
    if [ -n "${GZSL_CONTAINER:-}" ]; then
        environment="container $GZSL_CONTAINER"
        case "$GZSL_CONTAINER" in
        *.sif)
            command -v apptainer >/dev/null || fail 2 "GZSL_CONTAINER: no apptainer on $(hostname)"
            [ -e "$GZSL_CONTAINER" ] || fail 2 "GZSL_CONTAINER $GZSL_CONTAINER: no such file"
            prefix=(apptainer exec --nv --bind "$clone" --pwd "$clone" "$GZSL_CONTAINER")
            ;;
        *) # pyxis: an option of srun
            container=(--container-image="$GZSL_CONTAINER" --container-mounts="$clone:$clone"
                --container-workdir="$clone")
            prefix=(srun --nodes=1 --ntasks=1 "${container[@]}")
            ;;
        esac
    elif [ -n "${GZSL_VENV:-}" ]; then
        [ -e "$GZSL_VENV/bin/python" ] ||
            fail 2 "GZSL_VENV $GZSL_VENV: no virtual environment, seen from $(hostname)"
        use_venv "$GZSL_VENV"
    elif [ -n "${GZSL_CONDA:-}" ]; then
        environment="conda $GZSL_CONDA"
        command -v conda >/dev/null ||
            fail 2 "GZSL_CONDA: no conda on $(hostname); GZSL_MODULES may load it"
        set +u # conda's own scripts read variables that may be unset
        { eval "$(conda shell.bash hook)" && conda activate "$GZSL_CONDA"; } 2>/dev/null ||
            fail 2 "GZSL_CONDA: conda activate $GZSL_CONDA failed on $(hostname)"
        set -u
        interpreter=python
    elif [ -e "$clone/.venv/bin/python" ]; then
        use_venv "$clone/.venv"
    elif python3 -c 'import torch, gzsl_dist.config' 2>/dev/null; then
        environment="$(command -v python3)"
    else
        environment="$clone/.venv"
        install=1
        wants_dry_run "$@" || make_venv "$@"
    fi
}

use_venv() { # FOLDER
    environment="$1"
    interpreter="$(cd "$1/bin" && pwd)/python"
}

make_venv() { # as launch/ does; jobs that start together wait for the one that installs
    local extra=""
    case " $* " in *" deepspeed "*) extra=deepspeed ;; esac
    echo "no environment with gzsl_dist is named or found: making $clone/.venv"
    (
        flock 9
        # shellcheck source=launch/environment.sh
        source "$clone/launch/environment.sh"
        make_environment "$extra"
    ) 9>>"$clone/.venv.lock" || fail 2 "$clone/.venv could not be made on $(hostname); where there \
is a network, bash launch/quickstart.sh makes it"
    use_venv "$clone/.venv"
}

ask() { # ARGUMENTS of Python, on this node
    "${prefix[@]}" "$interpreter" "$@"
}

ask_gzsl() { # MODULE ARGUMENTS: sets `answer` to its output, or to why there is none, and fails
    local errors status=0
    errors="$(mktemp)"
    answer="$(ask -m "$@" 2>"$errors")" || status=$?
    if [ "$status" -eq 2 ]; then
        answer="$(sed -n 's/^error: //p' "$errors")"
    elif [ "$status" -ne 0 ]; then # no gzsl_dist, or not all it needs: Python's traceback is no cure
        answer="environment $environment lacks gzsl_dist or what it needs ($(tail -n 1 "$errors")); \
install the clone into it by pip, or name another with GZSL_VENV or GZSL_CONDA"
    fi
    rm -f "$errors"
    return "$status"
}
