# shellcheck shell=bash
# Sourced by the other scripts: a virtual environment in the clone, made once and reused.
# PYTHON names another interpreter; VENV another place.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$here/.venv}"

# make_environment [EXTRA]: install the package with an optional extra, such as dev.
make_environment() {
    local python="${PYTHON:-python3}" extra="${1:-}" stamp
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        echo "error: $python is not Python 3.10 or newer; name one with PYTHON=..." >&2
        exit 2
    fi
    stamp="$venv/.installed-${extra:-base}-$(cat "$here/pyproject.toml" "$here/constraints.txt" | cksum | tr ' ' '-')"
    if [ ! -e "$stamp" ]; then
        echo "installing into $venv (once, a few minutes)"
        if ! "$python" -m venv "$venv"; then
            echo "error: $python cannot make a virtual environment; install its venv module" >&2
            exit 2
        fi
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --constraint "$here/constraints.txt" --editable "$here${extra:+[$extra]}"
        touch "$stamp"
    fi
    # shellcheck disable=SC1091
    source "$venv/bin/activate"
}
