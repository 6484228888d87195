#!/usr/bin/env bash
# Lint, types and all tests. With --fast as the first argument, unit tests, and gradients, strategies,
# banks and classifiers on two processes. Further arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment dev
cd "$here"
launch/install_slurm.sh
if command -v shellcheck >/dev/null; then
    shellcheck launch/*.sh cluster/*.sh cluster/*.sbatch .ci/run
else
    echo "shellcheck is not installed: the scripts go unchecked here"
fi
ruff check .
ruff format --check .
mypy
lint-imports --no-cache --no-logo  # the layers, in pyproject.toml
export OMP_NUM_THREADS=1
if [ "${1:-}" = --fast ]; then
    several=(tests/distributed/test_{gradients,strategies,processes,bank,classifier}.py)
    set -- tests/unit "${several[@]}" "$@"
fi
# In the order of the tree, so that the long tests of tests/distributed come first. Three workers on
# two cores: tests wait for Slurm, for launchers and for peers of killed processes; others run then.
exec pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=25 "$@"
