# shellcheck shell=bash
# Sourced by the other scripts: the environment at hand where it has this clone installed, else a
# virtual environment in the clone, made once and reused. PYTHON names another interpreter for that
# one, VENV another place.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$here/.venv}"

# is_at_hand EXTRA: whether python3 has this clone installed and what the extra is for. Tests (dev)
# need the very versions of constraints.txt, so they have an environment of their own.
is_at_hand() {
    [ -z "${PYTHON:-}${VENV:-}" ] && [ "$1" != dev ] && (cd / && python3 - "$here" "$1") 2>/dev/null <<'END'
import importlib.metadata, importlib.util, json, pathlib, sys

clone, extra = sys.argv[1:]
import gzsl_dist.config

lacking = any(importlib.util.find_spec(name) is None for name in ["torch", *filter(None, [extra])])
own = pathlib.Path(clone) in pathlib.Path(gzsl_dist.config.__file__).parents
if not own:  # installed by `pip install CLONE`: a copy
    recorded = importlib.metadata.distribution("gzsl_dist").read_text("direct_url.json")
    own = json.loads(recorded or "{}").get("url") == pathlib.Path(clone).as_uri()
sys.exit(lacking or not own)
END
}

# make_environment [EXTRA]: install the package with an optional extra, such as dev.
make_environment() {
    local python="${PYTHON:-python3}" extra="${1:-}" stamp
    if is_at_hand "$extra"; then
        PATH="$(dirname "$(python3 -c 'import sys; print(sys.executable)')"):$PATH"
        return
    fi
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
